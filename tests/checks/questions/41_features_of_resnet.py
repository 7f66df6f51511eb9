# From: ekosman/AnomalyDetectionCVPR2018-Pytorch#230. Asked: "(1920x2048 and 4096x512)" with features of a ResNet
# Run: archscope check 41_features_of_resnet.py:Anomaly --arg feature_dim=4096 --input 60x32x2048
from torch import Tensor, nn


class Anomaly(nn.Module):
    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(feature_dim, 512)
        self.fc2 = nn.Linear(512, 32)
        self.fc3 = nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(self.fc2(self.fc1(x).relu())).sigmoid()
