//! The canonical ABI: how strings and results lie in memory where one side hands them to the other.
//!
//! A string is its address and length in bytes. What does not fit in one return value is written to an area of 32-bit words:
//! the tag of a result, option or variant first (a byte; the rest of its word means nothing), then its payload.
use alloc::alloc::{Layout, alloc, realloc};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::UnsafeCell;

#[link(wasm_import_module = "tidegate:plugin/settings@0.1.0")]
unsafe extern "C" {
    #[link_name = "get"]
    pub fn settings_get(area: *mut usize);
}

#[link(wasm_import_module = "tidegate:plugin/log@0.1.0")]
unsafe extern "C" {
    #[link_name = "write"]
    pub fn log_write(level: i32, text: *const u8, bytes: usize);
}

#[link(wasm_import_module = "tidegate:plugin/clock@0.1.0")]
unsafe extern "C" {
    #[link_name = "now-ms"]
    pub fn clock_now() -> u64;
    #[link_name = "monotonic-ms"]
    pub fn clock_monotonic() -> u64;
}

#[link(wasm_import_module = "tidegate:plugin/store@0.1.0")]
unsafe extern "C" {
    #[link_name = "get"]
    pub fn store_get(key: *const u8, key_bytes: usize, area: *mut usize);
    #[link_name = "set"]
    pub fn store_set(
        key: *const u8,
        key_bytes: usize,
        value: *const u8,
        value_bytes: usize,
        area: *mut usize,
    );
    #[link_name = "delete"]
    pub fn store_delete(key: *const u8, key_bytes: usize, area: *mut usize);
    #[link_name = "keys"]
    pub fn store_keys(prefix: *const u8, prefix_bytes: usize, area: *mut usize);
}

#[link(wasm_import_module = "tidegate:plugin/http@0.1.0")]
unsafe extern "C" {
    #[link_name = "send"]
    pub fn http_send(request: *const u8, bytes: usize, area: *mut usize);
}

#[link(wasm_import_module = "tidegate:plugin/tools@0.1.0")]
unsafe extern "C" {
    #[link_name = "call"]
    pub fn tools_call(
        name: *const u8,
        name_bytes: usize,
        arguments: *const u8,
        arguments_bytes: usize,
        area: *mut usize,
    );
    #[link_name = "arm"]
    pub fn tools_arm(
        key: *const u8,
        key_bytes: usize,
        after_ms: u32,
        name: *const u8,
        name_bytes: usize,
        arguments: *const u8,
        arguments_bytes: usize,
        area: *mut usize,
    );
    #[link_name = "disarm"]
    pub fn tools_disarm(key: *const u8, key_bytes: usize);
}

/// Where the gateway writes what a call gives back.
pub struct Area<const WORDS: usize>(UnsafeCell<[usize; WORDS]>);

impl<const WORDS: usize> Area<WORDS> {
    pub fn new() -> Self {
        Area(UnsafeCell::new([0; WORDS]))
    }

    /// An area that stays, with these words: its address is what an export gives back.
    pub fn lasting(words: [usize; WORDS]) -> usize {
        Box::leak(Box::new(words)).as_ptr() as usize
    }

    pub fn at(&self) -> *mut usize {
        self.0.get().cast()
    }

    fn word(&self, place: usize) -> usize {
        unsafe { (*self.0.get())[place] }
    }

    pub fn tag(&self, place: usize) -> u8 {
        self.word(place) as u8
    }

    pub fn is_error(&self) -> bool {
        self.tag(0) != 0
    }

    /// # Safety
    /// The gateway wrote a string there.
    pub unsafe fn string(&self, place: usize) -> String {
        unsafe { string(self.word(place), self.word(place + 1)) }
    }

    /// # Safety
    /// The gateway wrote a list of such items there.
    pub unsafe fn list<Item>(&self, place: usize) -> Vec<Item> {
        let (at, count) = (self.word(place), self.word(place + 1));
        if count == 0 {
            Vec::new()
        } else {
            unsafe { Vec::from_raw_parts(at as *mut Item, count, count) }
        }
    }

    /// # Safety
    /// The gateway wrote a `result<_, string>` there.
    pub unsafe fn nothing(&self) -> Result<(), String> {
        if self.is_error() {
            Err(unsafe { self.string(1) })
        } else {
            Ok(())
        }
    }
}

/// A string in a list.
#[repr(C)]
pub struct Pair(usize, usize);

impl Pair {
    /// # Safety
    /// As for `string`.
    pub unsafe fn string(self) -> String {
        unsafe { string(self.0, self.1) }
    }
}

/// # Safety
/// The gateway wrote UTF-8 there, into memory that `cabi_realloc` gave it.
pub unsafe fn string(at: usize, bytes: usize) -> String {
    if bytes == 0 {
        String::new()
    } else {
        unsafe { String::from_raw_parts(at as *mut u8, bytes, bytes) }
    }
}

/// Where the gateway gets the memory that it writes strings and lists to.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_bytes: usize,
    align: usize,
    bytes: usize,
) -> *mut u8 {
    if bytes == 0 {
        return align as *mut u8;
    }
    unsafe {
        let given = if old_bytes == 0 {
            alloc(Layout::from_size_align_unchecked(bytes, align))
        } else {
            realloc(
                old,
                Layout::from_size_align_unchecked(old_bytes, align),
                bytes,
            )
        };
        if given.is_null() {
            core::arch::wasm32::unreachable()
        }
        given
    }
}
