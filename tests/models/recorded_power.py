"""What sysfs says of heat and power on three boxes, as files below a folder that stands for `/sys`."""

from __future__ import annotations

from pathlib import Path

PI = {
    "class/thermal/cooling_device0/type": "pwm-fan",
    "class/thermal/thermal_zone0/type": "cpu-thermal",
    "class/thermal/thermal_zone0/temp": "54530",
    "class/thermal/thermal_zone0/trip_point_0_type": "critical",
    "class/thermal/thermal_zone0/trip_point_0_temp": "110000",
    "class/hwmon/hwmon0/name": "cpu_thermal",
    "class/hwmon/hwmon0/temp1_input": "54530",
    "class/hwmon/hwmon1/name": "rp1_adc",
    "class/hwmon/hwmon1/temp1_input": "91000",
    "class/hwmon/hwmon2/name": "rpi_volt",
    "class/hwmon/hwmon2/in0_lcrit_alarm": "0",
}
"""A Raspberry Pi 5 on its mains adapter. The second chip is the I/O controller's converter, not the processor."""

LAPTOP = {
    "class/thermal/thermal_zone0/type": "acpitz",
    "class/thermal/thermal_zone0/temp": "-274000",
    "class/thermal/thermal_zone1/type": "x86_pkg_temp",
    "class/thermal/thermal_zone1/temp": "48000",
    "class/hwmon/hwmon3/name": "coretemp",
    "class/hwmon/hwmon3/temp1_input": "48000",
    "class/hwmon/hwmon3/temp2_input": "51000",
    "class/hwmon/hwmon4/name": "nvme",
    "class/hwmon/hwmon4/temp1_input": "83850",
    "class/power_supply/AC/type": "Mains",
    "class/power_supply/AC/online": "0",
    "class/power_supply/BAT0/type": "Battery",
    "class/power_supply/BAT0/present": "1",
    "class/power_supply/BAT0/status": "Discharging",
    "class/power_supply/BAT0/capacity": "63",
    "class/power_supply/hidpp_battery_0/type": "Battery",
    "class/power_supply/hidpp_battery_0/scope": "Device",
    "class/power_supply/hidpp_battery_0/present": "1",
    "class/power_supply/hidpp_battery_0/status": "Discharging",
    "class/power_supply/hidpp_battery_0/capacity": "4",
    "firmware/acpi/platform_profile": "balanced",
}
"""A laptop on its battery, with a mouse whose own battery is nearly empty."""

SERVER = {
    "class/thermal/thermal_zone0/type": "x86_pkg_temp",
    "class/thermal/thermal_zone0/temp": "61000",
    "class/hwmon/hwmon0/name": "coretemp",
    "class/hwmon/hwmon0/temp1_input": "61000",
    "class/hwmon/hwmon1/name": "coretemp",
    "class/hwmon/hwmon1/temp1_input": "66000",
    "class/hwmon/hwmon2/name": "sfp_module",
    "class/hwmon/hwmon2/temp1_input": "88000",
    "fs/cgroup/cpu.max": "max 100000",
}
"""Two processors, and a network module that is always hot."""


def write_sysfs(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return folder
