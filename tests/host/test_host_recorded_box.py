"""Each fact, told from the recorded box."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from recorded_box import ANSWERS, NOW_S, TREE, copied_tree, recorded_server, write

from tidegate.clock import ManualClock
from tidegate.errors import InvalidParams, UnknownResource, UnknownTool
from tidegate.host.server import HostServer


def look(name: str, server: HostServer | None = None, **arguments: object) -> dict[str, Any]:
    """The structured result of a tool, after checking it against the tool's own schema."""
    server = server or recorded_server()
    result = server.call(name, arguments)
    tool = next(tool for tool in server.tools() if tool["name"] == name)
    jsonschema.validate(result["structuredContent"], tool["outputSchema"], jsonschema.Draft202012Validator)
    assert result["content"][0]["text"]
    json.dumps(result, allow_nan=False)
    found: dict[str, Any] = result["structuredContent"]
    return found


@pytest.mark.parametrize("tool", HostServer(ManualClock(), TREE).tools(), ids=lambda tool: tool["name"])
def test_every_tool_is_read_only_and_has_valid_schemas(tool: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(tool["inputSchema"])
    jsonschema.Draft202012Validator.check_schema(tool["outputSchema"])
    assert tool["inputSchema"]["type"] == tool["outputSchema"]["type"] == "object"
    assert tool["annotations"]["readOnlyHint"]
    assert tool["annotations"]["idempotentHint"]
    assert tool["annotations"]["openWorldHint"] is False
    assert look(tool["name"])


def test_every_tool_has_a_resource_with_the_same_content() -> None:
    server = recorded_server()
    assert [resource["uri"] for resource in server.resources()] == [f"host://{tool['name']}" for tool in server.tools()]
    for resource in server.resources():
        (content,) = server.read(resource["uri"])["contents"]
        assert content["uri"] == resource["uri"]
        assert content["mimeType"] == "application/json"
        assert json.loads(content["text"]) == look(resource["name"], server)


def test_load_averages_and_tasks() -> None:
    load = look("load")
    assert (load["load_1min"], load["load_5min"], load["load_15min"]) == (0.52, 1.04, 0.98)
    assert (load["cpu_count"], load["running_tasks"], load["blocked_tasks"], load["total_tasks"]) == (4, 3, 1, 187)
    assert load["cpu_pressure"]["some_avg60_percent"] == 2.25
    assert load["io_pressure"]["full_avg300_percent"] == 0.07


def test_utilisation_is_unknown_until_time_has_passed_and_then_covers_it(tmp_path: Path) -> None:
    root = copied_tree(tmp_path / "box")
    clock = ManualClock(NOW_S)
    server = recorded_server(root, clock)
    assert look("load", server)["utilisation_percent"] is None
    stat = (root / "proc/stat").read_text()
    clock.advance(2.0)
    # in 2 s of four processors (800 ticks): processor 0 is busy throughout, 1 waits for storage, 2 is half stolen
    write(
        root,
        "proc/stat",
        stat.replace("cpu  40000 500 20000 3400000 6000 0 1500 0", "cpu  40200 500 20000 3400300 6200 0 1500 100")
        .replace("cpu0 10000", "cpu0 10200")
        .replace("cpu1 10000 125 5000 850000 1500", "cpu1 10000 125 5000 850000 1700")
        .replace("cpu2 10000 125 5000 850000 1500 0 200 0", "cpu2 10000 125 5000 850100 1500 0 200 100")
        .replace("cpu3 10000 125 5000 850000", "cpu3 10000 125 5000 850200"),
    )
    load = look("load", server)
    assert load["interval_s"] == 2.0
    assert [cpu["utilisation_percent"] for cpu in load["cpus"]] == [100.0, 0.0, 50.0, 0.0]
    assert (load["utilisation_percent"], load["iowait_percent"], load["steal_percent"]) == (37.5, 25.0, 12.5)


def test_a_second_look_at_once_does_not_spoil_the_utilisation(tmp_path: Path) -> None:
    root = copied_tree(tmp_path / "box")
    clock = ManualClock(NOW_S)
    server = recorded_server(root, clock)
    clock.advance(5.0)
    stat = (root / "proc/stat").read_text()
    write(root, "proc/stat", stat.replace("cpu  40000 500 20000 3400000", "cpu  40100 500 20000 3400100"))
    first = look("load", server)
    clock.advance(0.01)
    again = look("load", server)
    assert first["utilisation_percent"] == again["utilisation_percent"] == 50.0


def test_memory_in_bytes_with_the_tightest_control_group_limit() -> None:
    memory = look("memory")
    assert memory["total_bytes"] == 3884332 * 1024
    assert memory["used_bytes"] == (3884332 - 2913249) * 1024
    assert (memory["used_percent"], memory["swap_used_percent"]) == (25.0, 25.0)
    assert (memory["cgroup_limit_bytes"], memory["cgroup_used_bytes"]) == (268435456, 100000000)
    assert memory["pressure"]["some_avg300_percent"] == 0.01


def test_control_groups_v1_and_their_spelling_of_no_limit(tmp_path: Path) -> None:
    root = copied_tree(tmp_path / "box")
    write(root, "proc/self/cgroup", "9:cpu,cpuacct:/x\n4:memory:/svc\n")
    write(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    write(root, "sys/fs/cgroup/memory/svc/memory.limit_in_bytes", "1000000\n")
    write(root, "sys/fs/cgroup/memory/svc/memory.usage_in_bytes", "999\n")
    memory = look("memory", recorded_server(root))
    assert (memory["cgroup_limit_bytes"], memory["cgroup_used_bytes"]) == (1000000, 999)


def test_real_file_systems_only_and_network_ones_not_asked() -> None:
    found = {fs["mount"]: fs for fs in look("disks")["filesystems"]}
    assert list(found) == ["/", "/boot/firmware", "/home/pi/remote", "/mnt/usb disk", "/srv/nas"]
    root = found["/"]
    assert (root["device"], root["fstype"], root["read_only"]) == ("/dev/mmcblk0p2", "ext4", False)
    assert (root["size_bytes"], root["used_bytes"]) == (7_000_000 * 4096, 5_000_000 * 4096)
    assert (root["available_bytes"], root["used_percent"]) == (1_600_000 * 4096, 75.8)
    assert (root["inodes"], root["inodes_used"]) == (1_900_000, 300_000)
    assert found["/boot/firmware"]["read_only"]
    assert found["/boot/firmware"]["inodes"] is None
    assert found["/mnt/usb disk"]["also_mounted_at"] == ["/srv/data"]
    for mount in ("/srv/nas", "/home/pi/remote"):
        assert (found[mount]["state"], found[mount]["size_bytes"]) == ("not_asked", None)


def test_network_file_systems_answer_when_asked() -> None:
    found = {fs["mount"]: fs for fs in look("disks", network=True)["filesystems"]}
    assert (found["/srv/nas"]["state"], found["/srv/nas"]["size_bytes"]) == ("ok", 500_000 * 4096)
    assert found["/home/pi/remote"]["state"] == "unreadable"


def test_block_devices_with_their_counters() -> None:
    card, disk = look("disks")["devices"]
    assert (card["device"], card["model"], card["rotational"], card["removable"]) == ("mmcblk0", "SC32G", False, False)
    assert card["size_bytes"] == 62333952 * 512
    assert (card["read_bytes"], card["written_bytes"]) == (800000 * 512, 400000 * 512)
    assert (card["reads"], card["writes"], card["busy_s"]) == (12000, 8000, 12.5)
    assert (disk["device"], disk["model"]) == ("sda", "Portable SSD")


@pytest.mark.parametrize(
    ("uri", "mount"),
    [
        ("host://disks/%2F", "/"),
        ("host://disks/%2Fboot%2Ffirmware", "/boot/firmware"),
        ("host://disks/boot/firmware", "/boot/firmware"),
        ("host://disks/%2fmnt%2fusb%20disk", "/mnt/usb disk"),
        ("host://disks/%2Fsrv%2Fdata", "/mnt/usb disk"),
    ],
)
def test_the_template_reads_one_file_system(uri: str, mount: str) -> None:
    (content,) = recorded_server().read(uri)["contents"]
    assert content["uri"] == uri
    assert json.loads(content["text"])["mount"] == mount


@pytest.mark.parametrize(
    "uri",
    [
        "host://nothing",
        "host://",
        "host://disks/%2Fproc",
        "host://disks/%2F..%2Fetc",
        "host://disks/%00",
        "file:///etc/passwd",
        "overview",
        "",
        "host://disks/" + "a" * 100_000,
    ],
)
def test_an_unknown_resource_is_refused(uri: str) -> None:
    with pytest.raises(UnknownResource):
        recorded_server().read(uri)


def test_temperatures_with_labels_and_limits() -> None:
    found = look("temperatures")
    chip, disk, broken, zone = found["sensors"]
    assert (chip["device"], chip["temperature_c"], chip["critical_c"]) == ("cpu_thermal", 58.4, 110.0)
    assert (disk["label"], disk["high_c"], disk["critical_c"]) == ("Disk", 55.0, 70.0)
    assert broken["temperature_c"] is None
    assert (zone["source"], zone["high_c"], zone["critical_c"]) == ("thermal_zone", 80.0, 110.0)
    assert found["hottest_c"] == 58.4
    assert found["fans"] == [{"device": "pwmfan", "label": "Case fan", "speed_rpm": 2750}]
    assert found["under_voltage"] is False


def test_uptime_and_boot_time() -> None:
    uptime = look("uptime")
    assert (uptime["uptime_s"], uptime["booted_at"]) == (36050.25, "2025-11-25T05:53:20Z")
    assert (uptime["idle_s"], uptime["idle_percent"]) == (140000.5, 97.1)


def test_the_clock_in_winter_and_in_summer() -> None:
    winter = look("clock")
    assert (winter["utc"], winter["local"]) == ("2025-11-25T15:54:10Z", "2025-11-25T15:54:10+00:00")
    assert (winter["timezone"], winter["synchronised"]) == ("Europe/Lisbon", True)
    assert winter["time_daemon"] == "systemd-timesyncd"
    assert winter["rtc"] == {"name": "rtc-ds1307", "utc": "2025-11-25T15:54:08Z", "ahead_s": -2}
    summer = look("clock", recorded_server(clock=ManualClock(NOW_S - 120 * 86400)))
    assert (summer["local"], summer["utc_offset_s"]) == ("2025-07-28T16:54:10+01:00", 3600)


def test_whether_the_clock_is_synchronised_is_three_valued(tmp_path: Path) -> None:
    root = copied_tree(tmp_path / "box")
    (root / "run/systemd/timesync/synchronized").unlink()
    assert look("clock", recorded_server(root))["synchronised"] is False
    (root / "run/systemd/timesync").rmdir()
    assert look("clock", recorded_server(root))["synchronised"] is None


def test_links_counters_and_addresses() -> None:
    network = look("network")
    links = {link["name"]: link for link in network["links"]}
    assert list(links) == ["lo", "eth0", "wg0", "wlan0"]
    eth0 = links["eth0"]
    assert (eth0["operstate"], eth0["carrier"], eth0["physical"], eth0["wireless"]) == ("up", True, True, False)
    assert (eth0["mac"], eth0["mtu_bytes"], eth0["speed_mbit_per_s"]) == ("dc:a6:32:01:02:03", 1500, 1000)
    assert (eth0["rx_bytes"], eth0["rx_errors"], eth0["tx_dropped"]) == (5000000, 1, 3)
    assert [(a["address"], a["prefix_bits"], a["scope"]) for a in eth0["addresses"]] == [
        ("192.168.7.20", 24, "global"),
        ("169.254.3.4", 16, "link"),
        ("fe80::dea6:32ff:fe01:203", 64, "link"),
        ("fd00::aa", 64, "global"),
    ]
    assert (links["wlan0"]["speed_mbit_per_s"], links["wlan0"]["wireless"]) == (None, True)
    assert [a["address"] for a in network["other_addresses"]] == ["10.99.0.2"]
    assert [(r["family"], r["link"], r["gateway"], r["metric"]) for r in network["default_routes"]] == [
        ("ipv4", "eth0", "192.168.7.1", 100),
        ("ipv4", "wlan0", "192.168.7.1", 600),
        ("ipv6", "eth0", "fe80::fe", 100),
    ]


def test_identity_without_serial_number() -> None:
    identity = look("identity")
    assert (identity["hostname"], identity["architecture"]) == ("gatepost", "aarch64")
    assert identity["kernel"] == "Linux 6.6.51+rpt-rpi-v8"
    assert identity["model"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert identity["distribution"] == "Debian GNU/Linux 12 (bookworm)"
    assert (identity["distribution_id"], identity["distribution_version"]) == ("debian", "12")
    assert identity["virtualisation"] is None
    assert identity["container"] is None
    assert "deadbeef" not in json.dumps(identity)


def test_a_virtual_machine_is_recognised(tmp_path: Path) -> None:
    write(tmp_path, "sys/class/dmi/id/sys_vendor", "QEMU\n")
    write(tmp_path, "sys/class/dmi/id/product_name", "Standard PC (Q35 + ICH9, 2009)\n")
    write(tmp_path, "run/systemd/container", "lxc\n")
    identity = look("identity", recorded_server(tmp_path))
    assert identity["model"] == "QEMU Standard PC (Q35 + ICH9, 2009)"
    assert (identity["virtualisation"], identity["container"]) == ("qemu", "lxc")


def test_processes_by_memory_and_by_processor_time() -> None:
    by_memory = look("processes")
    assert (by_memory["process_count"], by_memory["zombie_count"]) == (5, 1)
    assert [process["pid"] for process in by_memory["processes"]][:3] == [412, 1, 900]
    (busiest,) = look("processes", sort="cpu", limit=1)["processes"]
    assert (busiest["pid"], busiest["name"], busiest["state"]) == (900, "a (b) c", "running")


def test_command_lines_and_environments_never_show() -> None:
    server = recorded_server()
    assert (TREE / "proc/412/cmdline").read_bytes().count(b"hunter2") == 1
    for tool in server.tools():
        assert "hunter2" not in json.dumps(server.call(tool["name"], {}))


def test_an_overview_of_a_healthy_box_warns_only_of_the_dead_link() -> None:
    overview = look("overview")
    assert overview["warnings"] == ["Disk /mnt/usb disk is 96.0 % full, 15.3 GiB left", "Link wlan0 is down"]
    assert overview["default_gateway"] == "192.168.7.1"
    assert [disk["mount"] for disk in overview["disks"]] == ["/", "/boot/firmware", "/mnt/usb disk"]


def test_an_overview_of_a_box_in_trouble_says_so(tmp_path: Path) -> None:
    root = copied_tree(tmp_path / "box")
    write(root, "proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 50000 kB\n")
    write(root, "proc/pressure/memory", "some avg10=42.50 avg60=1.00 avg300=1.00 total=1\n")
    write(root, "proc/loadavg", "9.00 9.00 9.00 1/1 1\n")
    write(root, "sys/class/hwmon/hwmon10/temp1_input", "66000\n")
    write(root, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    write(root, "sys/fs/cgroup/system.slice/memory.current", "268000000\n")
    write(root, "proc/net/route", "Iface\n")
    write(root, "proc/net/ipv6_route", "")
    (root / "run/systemd/timesync/synchronized").unlink()
    answers = ANSWERS | {"/": (1000, 10, 10, 1000, 5), "/mnt/usb disk": (1000, 900, 900, 0, 0)}
    assert look("overview", recorded_server(root, answers=answers))["warnings"] == [
        "Disk / is 99.0 % full, 40.0 KiB left",
        "Disk / has used 99.5 % of its inodes",
        "Memory is short: only 48.8 MiB available",
        "The control group uses 255.6 MiB of its limit of 256.0 MiB",
        "Memory pressure: tasks waited for memory 42.5 % of the last 10 s",
        "Load 9.0 over 5 minutes is high for 4 processors",
        "drivetemp Disk is at 66.0 °C, critical is 70.0 °C",
        "The supply voltage is too low",
        "The clock is not synchronised",
        "Link wlan0 is down",
        "No default route: other networks cannot be reached",
    ]


def test_an_unknown_tool_is_refused() -> None:
    with pytest.raises(UnknownTool):
        recorded_server().call("reboot", {})


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("load", {"x": 1}),
        ("disks", {"network": "yes"}),
        ("disks", {"network": None}),
        ("processes", {"limit": 0}),
        ("processes", {"limit": 51}),
        ("processes", {"limit": True}),
        ("processes", {"limit": 1.5}),
        ("processes", {"limit": "5"}),
        ("processes", {"limit": 1e300}),
        ("processes", {"sort": "name"}),
        ("processes", {"sort": ["memory"]}),
    ],
)
def test_arguments_that_do_not_fit_are_refused(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams) as caught:
        recorded_server().call(name, arguments)
    assert not isinstance(caught.value, UnknownTool)


def test_an_integral_float_is_an_integer() -> None:
    assert len(look("processes", limit=2.0)["processes"]) == 2
