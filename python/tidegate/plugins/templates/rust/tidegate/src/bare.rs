//! What Rust's standard library would bring: memory, and what happens at a panic.
use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size, unreachable};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::ptr::null_mut;

const PAGE: usize = 65536;
const SMALLEST: usize = 16;

unsafe extern "C" {
    static __heap_base: u8;
}

/// Blocks are powers of two in size; a block given back goes to the list of its size, to be used again. The last block
/// grows where it stands, so a text that is built up is seldom copied.
struct Heap(UnsafeCell<State>);

struct State {
    /// First of what was never given out; 0 before the first block.
    top: usize,
    /// By the power of two: a block's first word points at the next one.
    given_back: [*mut u8; usize::BITS as usize],
}

// An instance has one thread.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap(UnsafeCell::new(State {
    top: 0,
    given_back: [null_mut(); usize::BITS as usize],
}));

fn block_bytes(layout: Layout) -> Option<usize> {
    (layout.align() <= SMALLEST)
        .then(|| layout.size().max(SMALLEST).checked_next_power_of_two())
        .flatten()
}

/// Whether memory reaches up to here now.
fn reach(end: usize) -> bool {
    let have = memory_size(0) * PAGE;
    end <= have || memory_grow(0, (end - have).div_ceil(PAGE)) != usize::MAX
}

unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let state = unsafe { &mut *self.0.get() };
        let Some(bytes) = block_bytes(layout) else {
            return null_mut();
        };
        let list = &mut state.given_back[bytes.trailing_zeros() as usize];
        if !list.is_null() {
            let block = *list;
            *list = unsafe { *block.cast() };
            return block;
        }
        if state.top == 0 {
            state.top = (&raw const __heap_base as usize).next_multiple_of(SMALLEST);
        }
        match state.top.checked_add(bytes) {
            Some(end) if reach(end) => {
                let block = state.top as *mut u8;
                state.top = end;
                block
            }
            _ => null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let state = unsafe { &mut *self.0.get() };
        let Some(bytes) = block_bytes(layout) else {
            return;
        };
        if block as usize + bytes == state.top {
            state.top = block as usize;
        } else {
            let list = &mut state.given_back[bytes.trailing_zeros() as usize];
            unsafe { *block.cast() = *list };
            *list = block;
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let (Some(old), Some(new)) = (block_bytes(layout), block_bytes(wanted)) else {
            return null_mut();
        };
        if new == old {
            return block;
        }
        let state = unsafe { &mut *self.0.get() };
        if block as usize + old == state.top && (block as usize).checked_add(new).is_some_and(reach)
        {
            state.top = block as usize + new;
            return block;
        }
        unsafe {
            let copy = self.alloc(wanted);
            if !copy.is_null() {
                core::ptr::copy_nonoverlapping(block, copy, layout.size().min(size));
                self.dealloc(block, layout);
            }
            copy
        }
    }
}

/// The call ends; the gateway tells its caller so.
#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    unreachable()
}
