;; Calls out while the gateway is writing its arguments: a component must not leave then.
(import "tidegate:plugin/clock@0.1.0" "now-ms" (func $now (result i64)))
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (drop (call $now)) (i32.const 1024))
(func (export "tidegate:plugin/tool@0.1.0#call-tool") (param i32 i32 i32 i32) (result i32) unreachable)
