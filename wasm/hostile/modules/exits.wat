(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
(func (export "tidegate_call") (param i32 i32) (result i64)
  (call $exit (i32.const 0))
  (call $fine))
