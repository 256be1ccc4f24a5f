;; A thousand dead man's switches.
(import "tidegate" "tools_arm" (func $arm (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
(data (i32.const 8204) "host__x{}")
(func (export "tidegate_call") (param i32 i32) (result i64)
  (local $key i32)
  (loop $again
    (local.set $key (i32.add (local.get $key) (i32.const 1)))
    (i32.store (i32.const 8192) (i32.or (i32.const 0x61616161) (i32.and (local.get $key) (i32.const 0x0f0f0f0f))))
    (i32.store (i32.const 8196) (i32.or (i32.const 0x61616161) (i32.and (i32.shr_u (local.get $key) (i32.const 4)) (i32.const 0x0f0f0f0f))))
    (drop (call $arm (i32.const 8192) (i32.const 8) (i32.const 60000) (i32.const 8204) (i32.const 7) (i32.const 8211) (i32.const 2)))
    (br_if $again (i32.lt_u (local.get $key) (i32.const 1000))))
  (call $fine))
