//! What is not what it was compiled as is not run: nothing of it is mapped before its hash is right.

use std::fs;

use sha2::{Digest, Sha256};
use tidegate_sandbox::{Failure, Kind, World, compile, engine_key};

use crate::house::{Given, House, answering, result_of};

fn module() -> Vec<u8> {
    wat::parse_str(answering(r#"{"result":{}}"#)).unwrap()
}

fn refusal(outcome: Result<tidegate_sandbox::Plugin, Failure>) -> String {
    match outcome.err() {
        Some(Failure::Refused(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

fn sha256(code: &[u8]) -> [u8; 32] {
    Sha256::digest(code).into()
}

#[test]
fn an_artefact_that_was_changed_cut_short_or_made_longer_is_refused_by_its_hash() {
    let house = House::new();
    let code = compile(&module(), None).unwrap();
    let right = sha256(&code);
    let plugin = house
        .load_code(&code, right, Kind::Module, Given::default())
        .unwrap();
    assert_eq!(result_of(house.call(&plugin, "x")), "{}");
    let mut longer = code.clone();
    longer.push(0);
    let mut changed = vec![
        Vec::new(),
        code[..code.len() - 1].to_vec(),
        code[..100].to_vec(),
        longer,
    ];
    for at in [0, code.len() / 3, code.len() / 2, code.len() - 1] {
        let mut other = code.clone();
        other[at] ^= 1;
        changed.push(other);
    }
    for code in changed {
        let why = refusal(house.load_code(&code, right, Kind::Module, Given::default()));
        assert!(why.contains("not what it was"), "{why}");
    }
}

#[test]
fn what_never_was_an_artefact_is_refused_even_with_its_own_hash() {
    let house = House::new();
    for code in [
        b"".to_vec(),
        b"\x7fELF".to_vec(),
        vec![0; 5000],
        module(),
        b"#!/bin/sh\n".repeat(1000),
    ] {
        for kind in [Kind::Module, Kind::Component] {
            refusal(house.load_code(&code, sha256(&code), kind, Given::default()));
        }
    }
}

#[test]
fn an_artefact_for_another_processor_or_of_another_kind_is_refused() {
    let house = House::new();
    let other = if cfg!(target_arch = "x86_64") {
        "aarch64-unknown-linux-gnu"
    } else {
        "x86_64-unknown-linux-gnu"
    };
    let foreign = compile(&module(), Some(other)).unwrap();
    refusal(house.load_code(&foreign, sha256(&foreign), Kind::Module, Given::default()));
    let code = compile(&module(), None).unwrap();
    refusal(house.load_code(&code, sha256(&code), Kind::Component, Given::default()));
    assert_ne!(engine_key(None).unwrap(), engine_key(Some(other)).unwrap());
}

#[test]
fn a_file_that_is_not_there_is_refused_by_its_name() {
    let house = House::new();
    let file = house.folder.0.join("gone.cwasm");
    let why = refusal(house.load_file(&file, [0; 32], Kind::Module, Given::default()));
    assert!(why.contains("gone.cwasm"), "{why}");
}

#[test]
fn an_artefact_that_is_removed_or_replaced_afterwards_changes_nothing() {
    let house = House::new();
    let code = compile(&module(), None).unwrap();
    let file = house.folder.0.join("kept.cwasm");
    fs::write(&file, &code).unwrap();
    let plugin = house
        .load_file(&file, sha256(&code), Kind::Module, Given::default())
        .unwrap();
    let other = house.folder.0.join("other");
    fs::write(&other, vec![0; code.len()]).unwrap();
    fs::rename(&other, &file).unwrap();
    assert_eq!(result_of(house.call(&plugin, "x")), "{}");
    fs::remove_file(&file).unwrap();
    assert_eq!(result_of(house.call(&plugin, "x")), "{}");
}

#[test]
fn a_component_of_neither_world_or_of_the_other_one_is_refused() {
    let house = House::new();
    for world in [World::Tool, World::Filter] {
        let given = Given {
            world,
            ..Given::default()
        };
        let why = refusal(house.load("(component)", given));
        assert!(why.contains("does not export"), "{why}");
    }
}

#[test]
fn what_is_no_wasm_or_wasm_that_is_not_run_here_is_not_compiled() {
    for text in [
        "(module (memory i64 1))",
        "(module (memory 1 2 shared))",
        "(module (func (param (ref null struct))))",
    ] {
        let wasm = wat::parse_str(text).unwrap();
        assert!(
            matches!(compile(&wasm, None), Err(Failure::Refused(_))),
            "{text}"
        );
    }
    let whole = module();
    for wasm in [
        &b""[..],
        b"\0asm",
        b"#!/bin/sh",
        &whole[..whole.len() - 1],
        &whole[..20],
    ] {
        assert!(matches!(compile(wasm, None), Err(Failure::Refused(_))));
    }
    assert!(matches!(
        compile(&whole, Some("pdp11-unknown-unix")),
        Err(Failure::Refused(_))
    ));
}
