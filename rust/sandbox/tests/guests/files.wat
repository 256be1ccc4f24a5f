;; A component that does one thing with one file, or sleeps. The tool's name says what: a letter, the number of the
;; folder, and the path. It answers, as a tool's error, what it read, what it did, or `error` and WASI's number of it.
(component
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $p))
    (export "pollable" (type $pollable (eq $p)))
    (export "now" (func (result u64)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))
    (export "subscribe-instant" (func (param "when" u64) (result (own $pollable))))))
  (import "wasi:filesystem/types@0.2.0" (instance $types
    (export "descriptor" (type $descriptor (sub resource)))
    (type $errors (enum "access" "would-block" "already" "bad-descriptor" "busy" "deadlock" "quota" "exist"
      "file-too-large" "illegal-byte-sequence" "in-progress" "interrupted" "invalid" "io" "is-directory" "loop"
      "too-many-links" "message-size" "name-too-long" "no-device" "no-entry" "no-lock" "insufficient-memory"
      "insufficient-space" "not-directory" "not-empty" "not-recoverable" "unsupported" "no-tty" "no-such-device"
      "overflow" "not-permitted" "pipe" "read-only" "invalid-seek" "text-file-busy" "cross-device"))
    (export "error-code" (type $error (eq $errors)))
    (type $paths (flags "symlink-follow"))
    (export "path-flags" (type $path-flags (eq $paths)))
    (type $opens (flags "create" "directory" "exclusive" "truncate"))
    (export "open-flags" (type $open-flags (eq $opens)))
    (type $descriptors (flags "read" "write" "file-integrity-sync" "data-integrity-sync" "requested-write-sync"
      "mutate-directory"))
    (export "descriptor-flags" (type $descriptor-flags (eq $descriptors)))
    (export "[method]descriptor.open-at" (func (param "self" (borrow $descriptor)) (param "path-flags" $path-flags)
      (param "path" string) (param "open-flags" $open-flags) (param "flags" $descriptor-flags)
      (result (result (own $descriptor) (error $error)))))
    (export "[method]descriptor.read" (func (param "self" (borrow $descriptor)) (param "length" u64)
      (param "offset" u64) (result (result (tuple (list u8) bool) (error $error)))))
    (export "[method]descriptor.write" (func (param "self" (borrow $descriptor)) (param "buffer" (list u8))
      (param "offset" u64) (result (result u64 (error $error)))))
    (export "[method]descriptor.link-at" (func (param "self" (borrow $descriptor)) (param "old-path-flags" $path-flags)
      (param "old-path" string) (param "new-descriptor" (borrow $descriptor)) (param "new-path" string)
      (result (result (error $error)))))
    (export "[method]descriptor.symlink-at" (func (param "self" (borrow $descriptor)) (param "old-path" string)
      (param "new-path" string) (result (result (error $error)))))
    (export "[method]descriptor.rename-at" (func (param "self" (borrow $descriptor)) (param "old-path" string)
      (param "new-descriptor" (borrow $descriptor)) (param "new-path" string) (result (result (error $error)))))))
  (alias export $types "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
    (alias outer 1 $descriptor (type $d))
    (export "descriptor" (type $descriptor (eq $d)))
    (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))

  (core module $memory
    (memory (export "memory") 4)
    (global $free (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      global.get $free
      (global.set $free (i32.add (global.get $free) (local.get 3)))))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $m))
  (alias core export $memory "realloc" (core func $realloc))

  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $now (canon lower (func $clock "now")))
  (core func $duration (canon lower (func $clock "subscribe-duration")))
  (core func $instant (canon lower (func $clock "subscribe-instant")))
  (core func $folders (canon lower (func $preopens "get-directories") (memory $m) (realloc $realloc)))
  (core func $open (canon lower (func $types "[method]descriptor.open-at") (memory $m) (realloc $realloc)))
  (core func $read (canon lower (func $types "[method]descriptor.read") (memory $m) (realloc $realloc)))
  (core func $write (canon lower (func $types "[method]descriptor.write") (memory $m) (realloc $realloc)))
  (core func $link (canon lower (func $types "[method]descriptor.link-at") (memory $m) (realloc $realloc)))
  (core func $symlink (canon lower (func $types "[method]descriptor.symlink-at") (memory $m) (realloc $realloc)))
  (core func $rename (canon lower (func $types "[method]descriptor.rename-at") (memory $m) (realloc $realloc)))

  (core module $guest
    (import "host" "memory" (memory 4))
    (import "host" "block" (func $block (param i32)))
    (import "host" "now" (func $now (result i64)))
    (import "host" "duration" (func $duration (param i64) (result i32)))
    (import "host" "instant" (func $instant (param i64) (result i32)))
    (import "host" "folders" (func $folders (param i32)))
    (import "host" "open" (func $open (param i32 i32 i32 i32 i32 i32 i32)))
    (import "host" "read" (func $read (param i32 i64 i64 i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i64 i32)))
    (import "host" "link" (func $link (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "host" "symlink" (func $symlink (param i32 i32 i32 i32 i32 i32)))
    (import "host" "rename" (func $rename (param i32 i32 i32 i32 i32 i32 i32)))
    (data (i32.const 1024) "no folder")
    (data (i32.const 1040) "error 00")
    (data (i32.const 1056) "done")
    (data (i32.const 1064) "new-name")
    (data (i32.const 1080) "[]")

    (func (export "tools") (result i32)
      (i32.store (i32.const 40) (i32.const 1080)) (i32.store (i32.const 44) (i32.const 2)) (i32.const 40))

    ;; The error of call-tool with this text.
    (func $said (param $at i32) (param $len i32) (result i32)
      (i32.store8 (i32.const 16) (i32.const 1))
      (i32.store (i32.const 20) (local.get $at)) (i32.store (i32.const 24) (local.get $len)) (i32.const 16))
    (func $error (param $code i32) (result i32)
      (i32.store8 (i32.const 1046) (i32.add (i32.const 48) (i32.div_u (local.get $code) (i32.const 10))))
      (i32.store8 (i32.const 1047) (i32.add (i32.const 48) (i32.rem_u (local.get $code) (i32.const 10))))
      (call $said (i32.const 1040) (i32.const 8)))
    ;; What a function without a value put at 96.
    (func $outcome (result i32)
      (if (i32.load8_u (i32.const 96)) (then (return (call $error (i32.load8_u (i32.const 97))))))
      (call $said (i32.const 1056) (i32.const 4)))

    (func (export "call") (param $name i32) (param $len i32) (param i32 i32) (result i32)
      (local $do i32) (local $nth i32) (local $folder i32) (local $path i32) (local $writes i32)
      (local.set $do (i32.load8_u (local.get $name)))
      (if (i32.eq (local.get $do) (i32.const 115 (; s: sleep for an hour ;))) (then
        (call $block (call $duration (i64.const 3600000000000)))
        (return (call $said (i32.const 1056) (i32.const 4)))))
      (if (i32.eq (local.get $do) (i32.const 117 (; u: until the end of time ;))) (then
        (call $block (call $instant (i64.const -1)))
        (return (call $said (i32.const 1056) (i32.const 4)))))
      (local.set $nth (i32.sub (i32.load8_u (i32.add (local.get $name) (i32.const 1))) (i32.const 48)))
      (local.set $path (i32.add (local.get $name) (i32.const 2)))
      (local.set $len (i32.sub (local.get $len) (i32.const 2)))
      (call $folders (i32.const 64))
      (if (i32.ge_u (local.get $nth) (i32.load (i32.const 68))) (then
        (return (call $said (i32.const 1024) (i32.const 9)))))
      (local.set $folder (i32.load (i32.add (i32.load (i32.const 64)) (i32.mul (i32.const 12) (local.get $nth)))))
      (if (i32.eq (local.get $do) (i32.const 108 (; l: hard link ;))) (then
        (call $link (local.get $folder) (i32.const 0) (local.get $path) (local.get $len)
          (local.get $folder) (i32.const 1064) (i32.const 8) (i32.const 96))
        (return (call $outcome))))
      (if (i32.eq (local.get $do) (i32.const 121 (; y: symbolic link ;))) (then
        (call $symlink (local.get $folder) (local.get $path) (local.get $len) (i32.const 1064) (i32.const 8) (i32.const 96))
        (return (call $outcome))))
      (if (i32.eq (local.get $do) (i32.const 109 (; m: move ;))) (then
        (call $rename (local.get $folder) (local.get $path) (local.get $len) (local.get $folder)
          (i32.const 1064) (i32.const 8) (i32.const 96))
        (return (call $outcome))))
      (if (i32.eq (local.get $do) (i32.const 111 (; o: open it for ever ;))) (then
        (loop $again
          (call $open (local.get $folder) (i32.const 0) (local.get $path) (local.get $len) (i32.const 0) (i32.const 1)
            (i32.const 80))
          (br_if $again (i32.eqz (i32.load8_u (i32.const 80)))))
        (return (call $error (i32.load8_u (i32.const 84))))))
      ;; r: read; f: read, and follow a link; w: make where needed, and write.
      (local.set $writes (i32.eq (local.get $do) (i32.const 119)))
      (call $open (local.get $folder) (i32.ne (local.get $do) (i32.const 114)) (local.get $path) (local.get $len)
        (local.get $writes) (i32.add (i32.const 1) (local.get $writes)) (i32.const 80))
      (if (i32.load8_u (i32.const 80)) (then (return (call $error (i32.load8_u (i32.const 84))))))
      (if (local.get $writes) (then
        (call $write (i32.load (i32.const 84)) (i32.const 1056) (i32.const 4) (i64.const 0) (i32.const 96))
        (if (i32.load8_u (i32.const 96)) (then (return (call $error (i32.load8_u (i32.const 104))))))
        (return (call $said (i32.const 1056) (i32.const 4)))))
      (call $read (i32.load (i32.const 84)) (i64.const 65536) (i64.const 0) (i32.const 96))
      (if (i32.load8_u (i32.const 96)) (then (return (call $error (i32.load8_u (i32.const 100))))))
      (call $said (i32.load (i32.const 100)) (i32.load (i32.const 104)))))
  (core instance $guest (instantiate $guest (with "host" (instance
    (export "memory" (memory $m)) (export "block" (func $block)) (export "now" (func $now))
    (export "duration" (func $duration)) (export "instant" (func $instant)) (export "folders" (func $folders))
    (export "open" (func $open)) (export "read" (func $read)) (export "write" (func $write))
    (export "link" (func $link)) (export "symlink" (func $symlink)) (export "rename" (func $rename))))))

  (func $list (result string) (canon lift (core func $guest "tools") (memory $m)))
  (func $call (param "name" string) (param "arguments" string) (result (result string (error string)))
    (canon lift (core func $guest "call") (memory $m) (realloc $realloc)))
  (instance $tool (export "list-tools" (func $list)) (export "call-tool" (func $call)))
  (export "tidegate:plugin/tool@0.1.0" (instance $tool)))
