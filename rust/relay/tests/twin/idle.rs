//! A slow lane that has nothing in hand.

use tidegate_relay as core;

pub struct Idle;

impl core::SlowLane for Idle {
    fn in_flight(&self) -> usize {
        0
    }

    fn load(&self, _: usize) -> usize {
        0
    }

    fn has_room(&self, _: usize, _: usize, _: usize) -> bool {
        true
    }

    fn uses(&self, _: usize, _: &[u8]) -> bool {
        false
    }
}
