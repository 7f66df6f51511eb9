"""The output of `archscope device`: text in the format that was asked for."""

from __future__ import annotations

from archscope.cli.report_text import format_sheet
from archscope.machine import AvailableDevice
from archscope.profiling.roofline import Ceilings
from archscope.render import devices, json_csv


def format_devices(auto: str, found: tuple[AvailableDevice, ...], format: str) -> str:
    """Return the list of all devices. auto: the one that `auto` selects."""
    if format == "json":
        return json_csv.format_json(devices.devices_document(auto, found))
    return devices.devices_csv(found) if format == "csv" else format_sheet(devices.devices_sheet(auto, found), format)


def format_ceilings(ceilings: Ceilings, format: str) -> str:
    """Return the peak rates of a device."""
    if format == "json":
        return json_csv.format_json(ceilings.to_dict())
    return devices.ceilings_csv(ceilings) if format == "csv" else format_sheet(devices.ceilings_sheet(ceilings), format)
