//! The fuzz targets of the relay on their committed inputs, finds included, without a fuzzer.

mod twin;

use std::path::Path;

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

#[test]
fn relay_and_twin_agree_and_the_same_input_leads_to_the_same_output() {
    for input in inputs("relay") {
        // Each relay has tables with other hash seeds.
        assert_eq!(twin::play(&input), twin::play(&input));
    }
}

#[test]
fn only_whole_and_unambiguous_requests_are_relayed() {
    for input in inputs("relay_http") {
        twin::frame(&input);
    }
}

#[test]
fn responses_in_pieces_are_read_as_they_are_at_once() {
    for input in inputs("relay_response") {
        twin::respond(&input);
    }
}
