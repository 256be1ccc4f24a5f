(func (export "tidegate:plugin/filter@0.1.0#inspect-request") (param i32 i32) (result i32) (loop $again (br $again)) unreachable)
(func (export "tidegate:plugin/filter@0.1.0#inspect-result") (param i32 i32 i32 i32) (result i32) (loop $again (br $again)) unreachable)
