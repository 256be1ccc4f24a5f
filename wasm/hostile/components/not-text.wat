;; ok(string) whose bytes are no UTF-8.
(data (i32.const 8192) "\00\00\00\00\10\20\00\00\02\00\00\00\00\00\00\00\ff\fe")
(func (export "tidegate:plugin/tool@0.1.0#call-tool") (param i32 i32 i32 i32) (result i32) (i32.const 8192))
