;; A line that looks like two, with the bytes that colour a terminal.
(import "tidegate" "log" (func $log (param i32 i32 i32)))
(data (i32.const 8192) "mine\n2030-01-01 CRITICAL tidegate: not mine\1b[2J\07")
(func (export "tidegate_call") (param i32 i32) (result i64)
  (call $log (i32.const 99) (i32.const 8192) (i32.const 48))
  (call $fine))
