//! WASI: a granted folder cannot be left by any way there is, is not written without that grant, and nothing of it
//! holds a thread for ever; without a grant there is nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tidegate_sandbox::{Bounds, Done, Failure, Grants, Plugin, Work};

use crate::house::{Given, House, answering, begin, bounds, result_of, until};

const FILES: &str = include_str!("files.wat");
const SECRET: &str = "the secret";

/// Two folders side by side: one that is granted, one that nobody named.
struct Yard {
    house: House,
    plugin: Plugin,
    inside: PathBuf,
    outside: PathBuf,
}

fn yard(writable: bool) -> Yard {
    let house = House::new();
    let (inside, outside) = (
        house.folder.0.join("inside"),
        house.folder.0.join("outside"),
    );
    for folder in [&inside, &outside, &inside.join("deep")] {
        fs::create_dir(folder).unwrap();
    }
    fs::write(inside.join("note"), "a note").unwrap();
    fs::write(outside.join("secret"), SECRET).unwrap();
    let given = Given {
        grants: Grants {
            folders: vec![("/data".into(), inside.clone(), writable)],
            ..Grants::default()
        },
        bounds: Bounds {
            deadline: Duration::from_secs(5),
            ..bounds()
        },
        ..Given::default()
    };
    let plugin = house.load(FILES, given).unwrap();
    Yard {
        house,
        plugin,
        inside,
        outside,
    }
}

impl Yard {
    /// What the guest says that came of it.
    fn does(&self, what: &str) -> String {
        said(self.house.call(&self.plugin, what))
    }
}

fn said(outcome: Result<Done, Failure>) -> String {
    match outcome {
        Ok(Done::Error(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_grant_there_is_no_folder() {
    let house = House::new();
    let plugin = house.tool(FILES);
    assert_eq!(said(house.call(&plugin, "r0etc/passwd")), "no folder");
}

#[test]
fn a_granted_folder_is_read_and_there_is_no_other() {
    let yard = yard(false);
    assert_eq!(yard.does("r0note"), "a note");
    assert_eq!(yard.does("r0deep/../note"), "a note");
    assert_eq!(yard.does("r1note"), "no folder");
}

#[test]
fn no_path_leads_out_of_a_granted_folder() {
    let yard = yard(true);
    let secret = yard.outside.join("secret");
    symlink("../outside", yard.inside.join("up")).unwrap();
    symlink(&secret, yard.inside.join("absolute")).unwrap();
    symlink("../outside/secret", yard.inside.join("relative")).unwrap();
    symlink("deep/../../outside/secret", yard.inside.join("winding")).unwrap();
    symlink("/proc/self/root", yard.inside.join("root")).unwrap();
    let absolute = secret.display().to_string();
    for path in [
        "../outside/secret",
        "deep/../../outside/secret",
        "./../outside/secret",
        "deep/../..//outside/secret",
        absolute.as_str(),
        "/data/../outside/secret",
        "up/secret",
        "absolute",
        "relative",
        "winding",
        "root/etc/passwd",
        "..",
        "",
    ] {
        for way in ["r0", "f0", "w0"] {
            let answer = yard.does(&format!("{way}{path}"));
            assert!(answer.starts_with("error "), "{way}{path}: {answer}");
        }
        for way in ["l0", "m0"] {
            let answer = yard.does(&format!("{way}{path}"));
            // A link within the folder may be moved or linked: it still leads nowhere.
            if answer == "done" {
                let answer = yard.does("f0new-name");
                assert!(
                    answer.starts_with("error "),
                    "{way}{path}, followed: {answer}"
                );
                fs::rename(yard.inside.join("new-name"), yard.inside.join(path))
                    .or_else(|_| fs::remove_file(yard.inside.join("new-name")))
                    .unwrap();
            }
        }
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), SECRET);
    assert_eq!(fs::read_dir(&yard.outside).unwrap().count(), 1);
}

#[test]
fn a_link_that_a_guest_makes_itself_leads_it_nowhere_either() {
    let yard = yard(true);
    for target in ["../outside/secret", "/etc/passwd", "deep/../../outside"] {
        let made = yard.does(&format!("y0{target}"));
        if made == "done" {
            let answer = yard.does("f0new-name");
            assert!(answer.starts_with("error "), "{target}: {answer}");
            fs::remove_file(yard.inside.join("new-name")).unwrap();
        }
    }
}

#[test]
fn a_folder_granted_for_reading_is_not_changed() {
    let yard = yard(false);
    for what in ["w0note", "w0new", "l0note", "y0note", "m0note"] {
        let answer = yard.does(what);
        assert!(answer.starts_with("error "), "{what}: {answer}");
    }
    assert_eq!(
        fs::read_to_string(yard.inside.join("note")).unwrap(),
        "a note"
    );
    assert_eq!(fs::read_dir(&yard.inside).unwrap().count(), 2);
}

#[test]
fn a_folder_granted_for_writing_is() {
    let yard = yard(true);
    assert_eq!(yard.does("w0deep/new"), "done");
    assert_eq!(
        fs::read_to_string(yard.inside.join("deep/new")).unwrap(),
        "done"
    );
}

#[test]
fn a_folder_that_is_gone_is_told_by_name() {
    let yard = yard(false);
    fs::remove_dir_all(&yard.inside).unwrap();
    let outcome = yard.house.call(&yard.plugin, "r0note");
    assert!(
        matches!(&outcome, Err(Failure::Refused(why)) if why.contains("inside")),
        "{outcome:?}"
    );
}

#[test]
fn what_is_neither_file_nor_folder_is_not_opened_and_holds_no_thread() {
    let yard = yard(true);
    let pipe = yard.inside.join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    symlink("pipe", yard.inside.join("to-pipe")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(yard.inside.join("socket")).unwrap();
    for path in ["pipe", "to-pipe", "deep/../pipe", "socket"] {
        for way in ["r0", "f0", "w0"] {
            let answer = yard.does(&format!("{way}{path}"));
            assert!(answer.starts_with("error "), "{way}{path}: {answer}");
        }
    }
    assert_eq!(yard.does("r0note"), "a note");
}

#[test]
fn a_guest_that_sleeps_ends_at_its_deadline_and_one_that_may_not_know_the_time_at_once() {
    let house = House::new();
    for (time, way) in [(true, "s"), (true, "u"), (false, "s"), (false, "u")] {
        let given = Given {
            grants: Grants {
                time,
                ..Grants::default()
            },
            bounds: Bounds {
                deadline: Duration::from_millis(30),
                ..bounds()
            },
            ..Given::default()
        };
        let plugin = house.load(FILES, given).unwrap();
        let outcome = house.call(&plugin, way);
        if time {
            assert!(matches!(outcome, Err(Failure::Deadline)), "{outcome:?}");
        } else {
            assert!(
                matches!(outcome, Err(Failure::NotGranted("time"))),
                "{outcome:?}"
            );
        }
    }
}

#[test]
fn a_guest_that_sleeps_can_be_cancelled() {
    let house = House::new();
    let given = Given {
        grants: Grants {
            time: true,
            ..Grants::default()
        },
        bounds: Bounds {
            deadline: Duration::from_hours(1),
            ..bounds()
        },
        ..Given::default()
    };
    let plugin = house.load(FILES, given).unwrap();
    let token = begin(
        &plugin,
        Work::CallTool("s".into(), "{}".into()),
        Duration::from_hours(1),
    );
    until("it runs", || house.threads() == 1);
    // It says nothing before it sleeps; long enough that it does.
    std::thread::sleep(Duration::from_millis(100));
    house.sandbox.cancel(token);
    assert!(matches!(house.end_of(token), Err(Failure::Cancelled)));
}

#[test]
fn guests_that_sleep_do_not_take_the_place_of_those_that_compute() {
    let house = House::with_threads(1);
    let given = Given {
        grants: Grants {
            time: true,
            ..Grants::default()
        },
        ..Given::default()
    };
    let plugin = house.load(FILES, given).unwrap();
    let fine = house.tool(&answering(r#"{"result":{}}"#));
    let asleep: Vec<u64> = (0..3).map(|_| house.start(&plugin, "s")).collect();
    assert_eq!(result_of(house.call(&fine, "x")), "{}");
    for token in asleep {
        house.sandbox.cancel(token);
        assert!(matches!(house.end_of(token), Err(Failure::Cancelled)));
    }
}

#[test]
fn a_guest_that_never_closes_what_it_opens_traps_before_the_gateway_has_no_descriptors_left() {
    let yard = yard(false);
    let outcome = yard.house.call(&yard.plugin, "o0note");
    assert!(matches!(outcome, Err(Failure::Trapped(_))), "{outcome:?}");
    assert_eq!(yard.does("r0note"), "a note");
}
