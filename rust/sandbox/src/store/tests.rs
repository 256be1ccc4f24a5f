//! The store as plugins see it, and the file as an operator finds it: quotas, a killed process, a damaged file.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let nth = MADE.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("tidegate-store-{}-{nth}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("plugins.sqlite3")
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn bytes_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

/// What is in `kept`, and what that has to count.
fn content(kept: &PluginStore) -> (BTreeMap<Vec<u8>, Vec<u8>>, u64) {
    let content: BTreeMap<_, _> = kept
        .keys(b"")
        .unwrap()
        .into_iter()
        .map(|key| {
            let value = kept.get(&key).unwrap().unwrap();
            (key, value)
        })
        .collect();
    let counted = content
        .iter()
        .map(|(key, value)| key.len() as u64 + value.len() as u64 + ENTRY_BYTES)
        .sum();
    (content, counted)
}

/// The same numbers every time (Marsaglia, xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
fn a_value_is_there_until_it_is_deleted_and_for_its_plugin_alone() {
    let store = Store::open(None).unwrap();
    let (ours, theirs) = (store.of("ours", 1000), store.of("theirs", 1000));
    assert_eq!(ours.get(b"a"), Ok(None));
    ours.set(b"a", b"\0one\xff").unwrap();
    assert_eq!(ours.get(b"a").unwrap().unwrap(), b"\0one\xff");
    assert_eq!(theirs.get(b"a"), Ok(None));
    theirs.set(b"a", b"other").unwrap();
    ours.set(b"a", b"").unwrap();
    assert_eq!(ours.get(b"a"), Ok(Some(Vec::new())));
    assert_eq!(ours.used(), Ok(1 + ENTRY_BYTES));
    assert_eq!(ours.delete(b"a"), Ok(true));
    assert_eq!(ours.delete(b"a"), Ok(false));
    assert_eq!(ours.get(b"a"), Ok(None));
    assert_eq!(ours.used(), Ok(0));
    ours.clear().unwrap();
    assert_eq!(theirs.get(b"a").unwrap().unwrap(), b"other");
    theirs.clear().unwrap();
    assert_eq!((theirs.get(b"a"), theirs.used()), (Ok(None), Ok(0)));
}

#[test]
fn a_key_is_neither_empty_nor_longer_than_its_bound() {
    let kept = Store::open(None).unwrap().of("ours", 10_000);
    for key in [vec![], vec![b'k'; KEY_BYTES + 1]] {
        assert_eq!(kept.set(&key, b"v"), Err(StoreError::BadKey));
        assert_eq!(kept.get(&key), Err(StoreError::BadKey));
        assert_eq!(kept.delete(&key), Err(StoreError::BadKey));
    }
    kept.set(&[b'k'; KEY_BYTES], b"v").unwrap();
    assert_eq!(kept.keys(&[b'k'; KEY_BYTES]).unwrap().len(), 1);
    assert_eq!(kept.keys(&[b'k'; KEY_BYTES + 1]), Ok(Vec::new()));
}

#[test]
fn a_quota_is_used_to_the_last_byte_and_not_passed_by_one() {
    let store = Store::open(None).unwrap();
    let kept = store.of("ours", 200);
    let room = usize::try_from(200 - ENTRY_BYTES - 1).unwrap();
    assert_eq!(
        kept.set(b"a", &vec![0; room + 1]),
        Err(StoreError::OverQuota(200))
    );
    assert_eq!(kept.get(b"a"), Ok(None));
    kept.set(b"a", &vec![0; room]).unwrap();
    assert_eq!(kept.used(), Ok(200));
    // As long as the old one: counted once.
    kept.set(b"a", &vec![1; room]).unwrap();
    assert_eq!(kept.set(b"b", b""), Err(StoreError::OverQuota(200)));
    kept.set(b"a", &vec![2; room - 65]).unwrap();
    kept.set(b"b", b"").unwrap();
    assert_eq!(kept.used(), Ok(200));
    assert_eq!(
        kept.set(b"a", &vec![3; room - 64]),
        Err(StoreError::OverQuota(200))
    );
    assert_eq!(kept.get(b"a").unwrap().unwrap(), vec![2; room - 65]);
    assert_eq!(kept.used(), Ok(200));
}

#[test]
fn what_is_over_a_quota_that_was_lowered_may_shrink_and_not_grow() {
    let store = Store::open(None).unwrap();
    store.of("ours", 1000).set(b"a", &[0; 500]).unwrap();
    store.of("ours", 1000).set(b"b", &[0; 100]).unwrap();
    let lowered = store.of("ours", 400);
    assert_eq!(
        lowered.set(b"b", &[0; 101]),
        Err(StoreError::OverQuota(400))
    );
    lowered.set(b"b", &[1; 100]).unwrap();
    lowered.set(b"a", &[0; 300]).unwrap();
    assert_eq!(lowered.used(), Ok(402 + 2 * ENTRY_BYTES));
    lowered.delete(b"a").unwrap();
    lowered.set(b"b", &[0; 101]).unwrap();
}

#[test]
fn keys_are_listed_in_order_of_their_bytes_by_prefix_and_no_more_than_the_bound() {
    let kept = Store::open(None).unwrap().of("ours", 1 << 20);
    let keys: [&[u8]; 8] = [
        b"a",
        b"a\0",
        b"a\xff",
        b"a\xff\xff",
        b"b",
        "\u{e9}".as_bytes(),
        b"\xff",
        b"\xff\xff",
    ];
    for key in keys.iter().rev() {
        kept.set(key, b"").unwrap();
    }
    for prefix in keys.into_iter().chain([&b""[..], b"c", b"\xff\xff\xff"]) {
        let expected: Vec<_> = keys
            .into_iter()
            .filter(|key| key.starts_with(prefix))
            .collect();
        assert_eq!(
            kept.keys(prefix).unwrap(),
            expected.as_slice(),
            "{prefix:?}"
        );
    }
    for nth in 0..KEYS_LISTED {
        kept.set(format!("n{nth:04}").as_bytes(), b"").unwrap();
    }
    let listed = kept.keys(b"").unwrap();
    assert_eq!(listed.len(), KEYS_LISTED);
    assert_eq!(listed.last().unwrap(), b"n0994");
}

#[test]
fn any_order_of_calls_leaves_what_a_map_would_hold_and_an_exact_count() {
    let folder = Folder::new();
    let mut numbers = Numbers(7);
    let mut store = Store::open(Some(&folder.file())).unwrap();
    let mut maps: [BTreeMap<Vec<u8>, Vec<u8>>; 2] = Default::default();
    for _ in 0..3000 {
        let which = usize::try_from(numbers.below(2)).unwrap();
        let kept = store.of(["ours", "theirs"][which], 3000);
        let map = &mut maps[which];
        let key = vec![b'k'; usize::try_from(numbers.below(12) + 1).unwrap()];
        match numbers.below(20) {
            0 => {
                // Closed and opened again.
                drop(kept);
                store = Store::open(Some(&folder.file())).unwrap();
            }
            1..6 => assert_eq!(kept.delete(&key), Ok(map.remove(&key).is_some())),
            _ => {
                let value = vec![0; usize::try_from(numbers.below(600)).unwrap()];
                let mut other = map.clone();
                other.insert(key.clone(), value.clone());
                let counted: u64 = other
                    .iter()
                    .map(|(key, value)| key.len() as u64 + value.len() as u64 + ENTRY_BYTES)
                    .sum();
                if counted <= 3000 {
                    kept.set(&key, &value).unwrap();
                    *map = other;
                } else {
                    assert_eq!(kept.set(&key, &value), Err(StoreError::OverQuota(3000)));
                }
            }
        }
    }
    for (name, map) in ["ours", "theirs"].into_iter().zip(maps) {
        let kept = store.of(name, 3000);
        let (content, counted) = content(&kept);
        assert_eq!(content, map);
        assert_eq!(kept.used(), Ok(counted));
    }
}

#[test]
fn there_is_no_file_before_the_first_use_and_then_one_that_is_its_owners() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    let store = Store::open(Some(&folder.file())).unwrap();
    let kept = store.of("ours", 1000);
    assert_eq!(folder.names(), Vec::<String>::new());
    kept.set(b"a", b"1").unwrap();
    for name in folder.names() {
        let mode = fs::metadata(folder.0.join(&name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(store.take_warning(), None);
    drop((store, kept));
    assert_eq!(folder.names(), ["plugins.sqlite3"]);
}

#[test]
fn a_folder_that_is_not_there_is_told_at_once_and_one_that_went_away_later() {
    let folder = Folder::new();
    let inner = folder.0.join("inner");
    let path = inner.join("plugins.sqlite3");
    assert!(matches!(
        Store::open(Some(&path)),
        Err(StoreError::Unusable(_))
    ));
    fs::create_dir(&inner).unwrap();
    let kept = Store::open(Some(&path)).unwrap().of("ours", 1000);
    fs::remove_dir(&inner).unwrap();
    let Err(StoreError::Unusable(why)) = kept.set(b"a", b"1") else {
        panic!("it was written nowhere");
    };
    assert!(!why.contains("inner"), "{why}");
    fs::create_dir(&inner).unwrap();
    kept.set(b"a", b"1").unwrap();
}

#[test]
fn a_value_that_is_there_already_is_not_written_again() {
    let folder = Folder::new();
    let kept = Store::open(Some(&folder.file())).unwrap().of("ours", 9000);
    let journal = folder.0.join("plugins.sqlite3-wal");
    kept.set(b"a", b"one").unwrap();
    let before = bytes_of(&journal);
    for _ in 0..10 {
        kept.set(b"a", b"one").unwrap();
        kept.delete(b"b").unwrap();
    }
    assert_eq!(bytes_of(&journal), before);
    kept.set(b"a", b"two").unwrap();
    assert!(bytes_of(&journal) > before);
}

#[test]
fn the_files_stay_small_under_many_writes_and_shrink_after_a_large_one() {
    let folder = Folder::new();
    let store = Store::open(Some(&folder.file())).unwrap();
    let kept = store.of("ours", 64 << 20);
    let journal = folder.0.join("plugins.sqlite3-wal");
    for nth in 0..3000_u32 {
        kept.set(b"a", &nth.to_le_bytes().repeat(500)).unwrap();
    }
    assert!(bytes_of(&folder.file()) < 64 << 10);
    assert!(bytes_of(&journal) < 3 << 20, "{}", bytes_of(&journal));
    kept.set(b"large", &vec![1; 16 << 20]).unwrap();
    kept.clear().unwrap();
    drop((kept, store));
    let bytes = bytes_of(&folder.file());
    assert!(bytes < 2 << 20, "{bytes}");
}

#[test]
fn a_store_that_is_full_says_so_and_goes_on_after_a_deletion() {
    let store = Store::open(None).unwrap();
    let kept = store.of("ours", u64::MAX);
    let bound = |connection: &mut Connection| {
        Ok(connection.query_row("PRAGMA max_page_count", [], |row| row.get(0))?)
    };
    assert_eq!(store.0.run(bound), Ok(FILE_BYTES / 4096));
    let lower = |connection: &mut Connection| {
        Ok(connection.query_row("PRAGMA max_page_count = 64", [], |_| Ok(()))?)
    };
    store.0.run(lower).unwrap();
    let piece = vec![7; 50_000];
    let mut written = 0;
    let error = loop {
        match kept.set(&[written], &piece) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((written, error), (4, StoreError::Full));
    assert_eq!(kept.used(), Ok(4 * (50_000 + 1 + ENTRY_BYTES)));
    assert_eq!(kept.keys(b"").unwrap().len(), 4);
    kept.delete(&[2]).unwrap();
    kept.set(&[2], b"again").unwrap();
    assert_eq!(kept.get(&[2]).unwrap().unwrap(), b"again");
}

#[test]
fn a_file_that_is_no_database_is_moved_aside_and_the_warning_says_where() {
    let folder = Folder::new();
    for nth in 0..2 {
        fs::write(folder.file(), vec![b'x'; 9000]).unwrap();
        let store = Store::open(Some(&folder.file())).unwrap();
        let kept = store.of("ours", 1000);
        assert_eq!(kept.get(b"a"), Ok(None));
        kept.set(b"a", b"1").unwrap();
        let warning = store.take_warning().unwrap();
        assert!(warning.contains("plugins.sqlite3.damaged"), "{warning}");
        assert_eq!(store.take_warning(), None);
        drop((store, kept));
        assert_eq!(
            folder.names(),
            ["plugins.sqlite3", "plugins.sqlite3.damaged"],
            "{nth}"
        );
        assert_eq!(bytes_of(&folder.0.join("plugins.sqlite3.damaged")), 9000);
    }
}

#[test]
fn damage_anywhere_in_the_file_ends_in_a_store_that_works() {
    let folder = Folder::new();
    let path = folder.file();
    {
        let kept = Store::open(Some(&path)).unwrap().of("ours", 1 << 20);
        for nth in 0..100 {
            kept.set(format!("{nth}").as_bytes(), &[b'v'; 700]).unwrap();
        }
    }
    let whole = fs::read(&path).unwrap();
    let mut moved = 0;
    let mut numbers = Numbers(3);
    for page in 0..whole.len() / 4096 {
        let mut damaged = whole.clone();
        for byte in &mut damaged[page * 4096..(page + 1) * 4096] {
            *byte = u8::try_from(numbers.below(256)).unwrap();
        }
        fs::write(&path, &damaged).unwrap();
        let store = Store::open(Some(&path)).unwrap();
        let kept = store.of("ours", 1 << 20);
        let overwrite = || {
            for nth in 0..100 {
                kept.set(format!("{nth}").as_bytes(), b"new").unwrap();
            }
        };
        overwrite();
        if store.take_warning().is_some() {
            // What was set before the damage was met went with it.
            moved += 1;
            overwrite();
        }
        for nth in 0..100 {
            let value = kept.get(format!("{nth}").as_bytes()).unwrap();
            assert_eq!(value.as_deref(), Some(&b"new"[..]), "page {page}");
        }
        kept.clear().unwrap();
        assert_eq!(store.take_warning(), None);
        drop((store, kept));
        for name in folder.names() {
            fs::remove_file(folder.0.join(name)).unwrap();
        }
    }
    assert!(moved > whole.len() / 4096 / 2, "{moved}");
}

#[test]
fn a_file_of_a_later_version_is_left_alone() {
    let folder = Folder::new();
    Store::open(Some(&folder.file()))
        .unwrap()
        .of("ours", 1000)
        .set(b"a", b"1")
        .unwrap();
    let mut file = fs::read(folder.file()).unwrap();
    file[63] = 9; // the last byte of `user_version`
    fs::write(folder.file(), &file).unwrap();
    let store = Store::open(Some(&folder.file())).unwrap();
    assert!(matches!(
        store.of("ours", 1000).get(b"a"),
        Err(StoreError::Unusable(_))
    ));
    assert_eq!(store.take_warning(), None);
    drop(store);
    assert!(fs::read(folder.file()).unwrap() == file);
}

#[test]
fn calls_from_many_threads_are_all_counted() {
    let folder = Folder::new();
    let store = Store::open(Some(&folder.file())).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let kept = store.of("ours", 1 << 20);
            scope.spawn(move || {
                for nth in 0..50 {
                    kept.set(format!("{thread} {nth}").as_bytes(), b"v")
                        .unwrap();
                }
            });
        }
    });
    let kept = store.of("ours", 1 << 20);
    let (content, counted) = content(&kept);
    assert_eq!((content.len(), kept.used()), (200, Ok(counted)));
}

const KEPT_BY_CHILD: &str = "TIDEGATE_TEST_STORE";
const FIRST_OF_CHILD: &str = "TIDEGATE_TEST_FIRST";
const QUOTA_OF_CHILD: u64 = 40_000;

/// The `nth` thing that the child does, to the store and to a map of what has to be in it.
fn step(nth: u64, kept: Option<&PluginStore>, map: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    let mut numbers = Numbers(nth + 1);
    for _ in 0..8 {
        numbers.below(2);
    }
    let key = format!("key {}", numbers.below(40)).into_bytes();
    if numbers.below(5) == 0 {
        map.remove(&key);
        if let Some(kept) = kept {
            kept.delete(&key).unwrap();
        }
    } else {
        let length = usize::try_from(numbers.below(900)).unwrap();
        let value = nth.to_le_bytes().repeat(length / 8 + 1);
        if let Some(kept) = kept {
            kept.set(&key, &value).unwrap();
        }
        map.insert(key, value);
    }
}

/// Not a test by itself: the process that the next one kills.
#[test]
#[ignore = "started by the next test, as a process"]
fn writing_until_killed() {
    let Ok(path) = std::env::var(KEPT_BY_CHILD) else {
        return;
    };
    let kept = Store::open(Some(Path::new(&path)))
        .unwrap()
        .of("child", QUOTA_OF_CHILD);
    let mut nth: u64 = std::env::var(FIRST_OF_CHILD).unwrap().parse().unwrap();
    let mut out = std::io::stdout().lock();
    loop {
        step(nth, Some(&kept), &mut BTreeMap::new());
        writeln!(out, "done {nth}").unwrap();
        nth += 1;
    }
}

#[test]
fn what_was_acknowledged_is_there_after_each_of_fifty_kills() {
    let folder = Folder::new();
    let mut numbers = Numbers(11);
    let mut map = BTreeMap::new();
    let mut next = 0;
    for _ in 0..50 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "store::tests::writing_until_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(KEPT_BY_CHILD, folder.file())
            .env(FIRST_OF_CHILD, next.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let until = next + numbers.below(150);
        let mut acknowledged = next;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            // The test runner says something, too; a line of ours may stand right behind that.
            let line = line.unwrap();
            let Some(nth) = line.rsplit("done ").next().and_then(|nth| nth.parse().ok()) else {
                continue;
            };
            assert_eq!(acknowledged, nth);
            step(nth, None, &mut map);
            acknowledged = nth + 1;
            if nth == until {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(acknowledged > until);
        let store = Store::open(Some(&folder.file())).unwrap();
        let kept = store.of("child", QUOTA_OF_CHILD);
        let (content, counted) = content(&kept);
        next = acknowledged;
        if content != map {
            // One more may have been done and not acknowledged any more.
            step(next, None, &mut map);
            next += 1;
        }
        assert_eq!(content, map);
        assert_eq!(kept.used(), Ok(counted));
        assert_eq!(store.take_warning(), None);
    }
}

#[test]
#[ignore = "a measurement: cargo test --release -- --ignored --nocapture microseconds"]
fn microseconds() {
    let folder = Folder::new();
    let store = Store::open(Some(&folder.file())).unwrap();
    let kept = store.of("ours", 1 << 20);
    let opened = std::time::Instant::now();
    kept.get(b"first").unwrap();
    println!("opening: {} µs", opened.elapsed().as_micros());
    let measure = |what: &str, act: &dyn Fn(u32)| {
        let mut took: Vec<_> = (0..5000)
            .map(|nth| {
                let began = std::time::Instant::now();
                act(nth);
                began.elapsed().as_nanos()
            })
            .collect();
        took.sort_unstable();
        let microseconds = |at: usize| f64::from(u32::try_from(took[at]).unwrap()) / 1000.0;
        println!(
            "{what}: p50 {:.1} p99 {:.1} max {:.1} µs",
            microseconds(2500),
            microseconds(4950),
            microseconds(4999)
        );
    };
    measure("set of 100 bytes, 100 keys", &|nth| {
        kept.set(
            format!("key {}", nth % 100).as_bytes(),
            &nth.to_le_bytes().repeat(25),
        )
        .unwrap();
    });
    measure("set of what is there", &|_| {
        kept.set(b"key 99", &4999_u32.to_le_bytes().repeat(25))
            .unwrap();
    });
    measure("get", &|nth| {
        kept.get(format!("key {}", nth % 100).as_bytes()).unwrap();
    });
    measure("used", &|_| {
        kept.used().unwrap();
    });
}
