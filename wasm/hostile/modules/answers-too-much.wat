;; {"result":{"content":[{"type":"text","text":"AAAA…"}]}} with 8 MiB of A.
(memory (export "memory") 140)
(data (i32.const 65536) "{\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"")
(data (i32.const 8454190) "\"}]}}")
(func (export "tidegate_call") (param i32 i32) (result i64)
  (memory.fill (i32.const 65582) (i32.const 0x41) (i32.const 8388608))
  (i64.or (i64.shl (i64.const 65536) (i64.const 32)) (i64.const 8388659)))
