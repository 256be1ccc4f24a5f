;; New keys with 1,000 bytes each, until one is refused; then it is content.
(import "tidegate" "store_set" (func $set (param i32 i32 i32 i32) (result i32)))
(func (export "tidegate_call") (param i32 i32) (result i64)
  (local $key i32)
  (memory.fill (i32.const 16384) (i32.const 0x41) (i32.const 1000))
  (loop $again
    ;; Eight letters of its number.
    (local.set $key (i32.add (local.get $key) (i32.const 1)))
    (i32.store (i32.const 8192) (i32.or (i32.const 0x61616161) (i32.and (local.get $key) (i32.const 0x0f0f0f0f))))
    (i32.store (i32.const 8196) (i32.or (i32.const 0x61616161) (i32.and (i32.shr_u (local.get $key) (i32.const 4)) (i32.const 0x0f0f0f0f))))
    (br_if $again (i32.eqz (call $set (i32.const 8192) (i32.const 8) (i32.const 16384) (i32.const 1000)))))
  (call $fine))
