//! Requests made of parts, so that what they say is known without reading them.

use super::choices::Choices;

/// As `Limits` has them in every scenario.
pub const DEPTH: usize = 8;
pub const HEADER_BYTES: usize = 10_000;
pub const BODY_BYTES: usize = 20_000;

/// As written, and what it is in a flow's key; `None` for no method that flows are for.
const METHODS: [(&str, Option<u8>); 5] = [
    ("\"tools/call\"", Some(1)),
    ("\"tools\\/call\"", Some(1)),
    ("\"prompts/get\"", Some(2)),
    ("\"resources/read\"", Some(3)),
    ("\"tools/list\"", None),
];
/// As written, and whether a request may have it.
const IDS: [(&str, bool); 10] = [
    ("1", true),
    ("\"1\"", true),
    ("\"a\"", true),
    ("\"\\u0061\"", true),
    ("-7", true),
    ("9007199254740993", true),
    ("\"\"", true),
    ("\"\\\"id\\\":3,\\\\\"", true),
    ("null", false),
    ("LONG", false),
];
/// As written, and decoded.
const NAMES: [(&str, Option<&str>); 7] = [
    ("\"echo\"", Some("echo")),
    ("\"\\u0065cho\"", Some("echo")),
    ("\"add\"", Some("add")),
    ("\"\u{e9}\u{1f600}\"", Some("\u{e9}\u{1f600}")),
    ("\"\"", Some("")),
    ("LONG", None),
    ("NONE", None),
];

/// What `_meta` says to a flow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meta {
    /// Nothing that matters.
    Plain,
    /// Its class, by what is read.
    Class(&'static str),
    /// No flow may be made of it.
    Opaque,
    /// The slow lane's, whatever else is known.
    Progress,
}

const VERSION: &str = "\"io.modelcontextprotocol/protocolVersion\"";
const METAS: [(&str, Meta); 15] = [
    ("", Meta::Plain),
    ("{}", Meta::Plain),
    ("{\"traceparent\":\"00-a-b-01\"}", Meta::Plain),
    ("{\"progressToken\":1}", Meta::Progress),
    ("{V:\"A\"}", Meta::Class("V\"A\"")),
    ("{\"traceparent\":[1], V : \"A\" }", Meta::Class("V\"A\"")),
    ("{V:\"B\"}", Meta::Class("V\"B\"")),
    (
        "{V:\"A\",\"io.modelcontextprotocol/clientInfo\":{\"name\":\"x\"}}",
        Meta::Class("V\"A\"I{\"name\":\"x\"}"),
    ),
    (
        "{\"io.modelcontextprotocol/clientInfo\":{\"name\":\"x\"},V:\"A\"}",
        Meta::Class("I{\"name\":\"x\"}V\"A\""),
    ),
    (
        "{\"io.modelcontextprotocol\\/logLevel\":\"debug\"}",
        Meta::Opaque,
    ),
    ("{\"deep\":{V:\"A\"}}", Meta::Opaque),
    ("{\"dev.tidegate/token\":\"t\"}", Meta::Opaque),
    ("{V:\"A\",\"dev.tidegate/token\":\"t\"}", Meta::Opaque),
    ("{V:\"A\",\"dev.tidegate\\/token\":\"t\"}", Meta::Opaque),
    ("{\"x\":\"LONG\"}", Meta::Opaque),
];

/// A member of `params`, and what it does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    Nothing,
    /// It may become a task.
    Task,
    /// No line.
    Broken,
    /// Not a message at all.
    Fault,
}

const EXTRAS: [(&str, Extra); 10] = [
    ("", Extra::Nothing),
    ("\"arguments\":{}", Extra::Nothing),
    (
        "\"arguments\":{\"id\":3,\"name\":\"no\",\"params\":{\"name\":\"no\"}}",
        Extra::Nothing,
    ),
    ("\"arguments\":{\"x\":\"BIG\"}", Extra::Nothing),
    ("\"task\":{}", Extra::Task),
    ("\"arguments\":{\"a\":\"\\\"task\\\"\"}", Extra::Nothing),
    ("\"arguments\":{\"a\":[\n1]}", Extra::Broken),
    ("\"arguments\":{\"a\":[\r1]}", Extra::Broken),
    ("\"arguments\":[[[[[[[[1]]]]]]]]", Extra::Fault),
    ("\"arguments\":{\"a\":\"HUGE\"}", Extra::Nothing),
];

/// A request of a client.
#[derive(Clone)]
pub struct Ask {
    method: usize,
    id: usize,
    name: usize,
    meta: usize,
    extra: usize,
    order: usize,
    text: String,
}

impl Ask {
    /// Mostly a plain one.
    pub fn chosen(choices: &mut Choices<'_>) -> Self {
        let mut ask = Self {
            method: 0,
            id: choices.below(IDS.len()),
            name: 0,
            meta: 0,
            extra: 0,
            order: 0,
            text: String::new(),
        };
        let different = choices.below(32);
        if different & 1 != 0 {
            ask.name = choices.below(NAMES.len());
        }
        if different & 2 != 0 {
            ask.meta = choices.below(METAS.len());
        }
        if different & 4 != 0 {
            ask.extra = choices.below(EXTRAS.len());
        }
        if different & 8 != 0 {
            ask.order = choices.below(6);
        }
        if different & 16 != 0 {
            ask.method = choices.below(METHODS.len());
        }
        ask.text = ask.written(&ask.id(), None);
        ask
    }

    pub fn id(&self) -> String {
        match IDS[self.id].0 {
            "LONG" => format!("\"{}\"", "i".repeat(255)),
            id => id.to_owned(),
        }
    }

    pub fn method(&self) -> Option<u8> {
        METHODS[self.method].1
    }

    pub fn name(&self) -> Option<&'static str> {
        NAMES[self.name].1
    }

    pub fn meta(&self) -> Meta {
        METAS[self.meta].1
    }

    pub fn extra(&self) -> Extra {
        EXTRAS[self.extra].1
    }

    /// A request that flows are for, as far as its message goes.
    pub fn readable(&self) -> bool {
        IDS[self.id].1
            && self.method().is_some()
            && self.name().is_some()
            && self.meta() != Meta::Progress
            && self.extra() != Extra::Fault
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// With another id, and another name if there is one.
    pub fn written(&self, id: &str, name: Option<&str>) -> String {
        let key = if METHODS[self.method].1 == Some(3) {
            "uri"
        } else {
            "name"
        };
        let mut params = Vec::new();
        match NAMES[self.name].0 {
            "NONE" => {}
            "LONG" => params.push(format!("\"{key}\":\"{}\"", "n".repeat(1023))),
            own => params.push(format!("\"{key}\":{}", name.unwrap_or(own))),
        }
        if self.meta > 0 {
            let meta = METAS[self.meta]
                .0
                .replace("LONG", &"m".repeat(4096))
                .replace("{V", &format!("{{{VERSION}"))
                .replace(",V", &format!(",{VERSION}"))
                .replace(" V", &format!(" {VERSION}"));
            params.push(format!("\"_meta\":{meta}"));
        }
        if self.extra > 0 {
            let extra = EXTRAS[self.extra].0;
            params.push(
                extra
                    .replace("BIG", &"b".repeat(5000))
                    .replace("HUGE", &"h".repeat(20_000)),
            );
        }
        if self.order % 2 == 1 {
            params.reverse();
        }
        let mut members = [
            "\"jsonrpc\":\"2.0\"".to_owned(),
            format!("\"id\":{id}"),
            format!("\"method\":{}", METHODS[self.method].0),
            format!("\"params\":{{{}}}", params.join(",")),
        ];
        if self.order >= 4 {
            members.reverse();
        }
        let (colon, comma) = if self.order == 2 || self.order == 3 {
            (" { ", " , ")
        } else {
            ("{", ",")
        };
        format!("{colon}{}}}", members.join(comma))
    }
}

/// Up to the digits of the length, from there on, and whether the strict parser leaves the request to the relay.
pub const HEADS: [(&str, &str, bool); 18] = [
    (
        "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: ",
        "\r\n\r\n",
        true,
    ),
    (
        "POST /mcp HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nContent-Length: ",
        "\r\nAccept: */*\r\n\r\n",
        true,
    ),
    (
        "POST /mcp HTTP/1.1\r\nhost: a\r\ncontent-length:",
        "\r\n\r\n",
        true,
    ),
    (
        "\r\nPOST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: ",
        "\r\n\r\n",
        true,
    ),
    (
        "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: \t ",
        " \t\r\n\r\n",
        true,
    ),
    (
        "GET /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: ",
        "\r\n\r\n",
        false,
    ),
    (
        "POST /mcp HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: ",
        "\r\n\r\n",
        false,
    ),
    (
        "POST /mcp HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: ",
        "\r\n\r\n",
        false,
    ),
    (
        "POST /mcp HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: ",
        "\r\n\r\n",
        false,
    ),
    (
        "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: ",
        "\r\n\r\n",
        false,
    ),
    (
        "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: ",
        "\r\n\r\n",
        false,
    ),
    (
        "POST /mcp HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: ",
        "\r\n\r\n",
        false,
    ),
    (
        "POST /mcp HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nContent-Length: ",
        "\r\n\r\n",
        false,
    ),
    ("POST /mcp HTTP/1.1\r\nContent-Length: ", "\r\n\r\n", false),
    (
        "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: ",
        "\r\n 0\r\n\r\n",
        false,
    ),
    (
        "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length : ",
        "\r\n\r\n",
        false,
    ),
    (
        "POST /mcp HTTP/1.1\nHost: a\nContent-Length: ",
        "\n\n",
        false,
    ),
    (
        "POST /mcp HTTP/1.1\r\nHost: a\r\nX: LONG\r\nContent-Length: ",
        "\r\n\r\n",
        false,
    ),
];

/// How a body is sent: the spelling of its length, and what is there of it.
const BODIES: [(&str, isize, bool); 9] = [
    ("N", 0, true),
    ("N", -1, false),
    ("N", 3, false),
    ("0N", 0, false),
    ("+N", 0, false),
    ("-N", 0, false),
    ("0xN", 0, false),
    ("N,N", 0, false),
    ("N 0", 0, false),
];

/// A request as it comes over HTTP.
#[derive(Clone)]
pub struct HttpAsk {
    pub head: usize,
    pub body: usize,
    pub ask: Ask,
}

impl HttpAsk {
    pub fn chosen(choices: &mut Choices<'_>) -> Self {
        let different = choices.below(16);
        Self {
            head: if different & 0b11 != 0 {
                0
            } else {
                choices.below(HEADS.len())
            },
            body: if different & 0b1100 != 0 {
                0
            } else {
                choices.below(BODIES.len())
            },
            ask: Ask::chosen(choices),
        }
    }

    /// One whole request with a body of plain length behind a head that the relay may remember.
    pub fn whole(&self) -> bool {
        HEADS[self.head].2 && BODIES[self.body].2
    }

    /// As `whole`, but for the last byte.
    pub fn partial(&self) -> bool {
        HEADS[self.head].2 && BODIES[self.body].1 == -1
    }

    /// Up to the message.
    pub fn head(&self) -> String {
        let (before, after, _) = HEADS[self.head];
        let length = BODIES[self.body]
            .0
            .replace('N', &self.ask.text().len().to_string());
        format!("{before}{length}{after}").replace("LONG", &"x".repeat(8192))
    }

    pub fn text(&self) -> String {
        let mut text = self.ask.text().to_owned();
        match BODIES[self.body].1 {
            ..0 => {
                text.pop();
            }
            0 => {}
            1.. => text.push_str("GET"),
        }
        self.head() + &text
    }
}
