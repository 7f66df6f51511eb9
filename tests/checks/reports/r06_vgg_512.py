# open-mmlab/mmpretrain#867: VGG head made for 224 images, given 512x512: (8x131072 and 25088x4096).
# archscope check r06_vgg_512.py:VGG --input 8x3x512x512 --device meta
from torch import nn


class VGG(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        layers, cin = [], 3
        for cout, n in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]:
            for _ in range(n):
                layers += [nn.Conv2d(cin, cout, 3, padding=1), nn.ReLU(inplace=True)]
                cin = cout
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Linear(512 * 7 * 7, 4096), nn.ReLU(True), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(True), nn.Dropout(), nn.Linear(4096, classes))

    def forward(self, x):
        x = self.features(x)
        x = x.view(x.size(0), -1)
        return self.classifier(x)
