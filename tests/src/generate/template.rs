//! One document with holes: written once with the nouns of a web shop, patched for each use.

use std::fmt::Write as _;

use crate::random::Random;

/// A document of one kind, finished and in progress, plain and as the inside of a JSON string.
#[derive(Debug)]
pub(super) struct Template {
    finished: Text,
    finished_quoted: Text,
    begun: Text,
    begun_quoted: Text,
}

/// Bytes and the places where ids and times go.
#[derive(Debug, Default)]
pub(super) struct Text {
    bytes: String,
    holes: Vec<(usize, Hole)>,
}

/// What is patched into the holes of one document.
pub(super) struct Slots {
    pub(super) trace_id: String,
    pub(super) id: u64,
    pub(super) parent_id: u64,
    pub(super) start: u32,
}

#[derive(Clone, Copy, Debug)]
enum Hole {
    TraceId,
    /// The segment's id plus a number: 0 is its own, 1 the first subsegment's.
    Id(u64),
    ParentId,
    /// Ten digits of epoch seconds, so many after the start.
    Seconds(u32),
}

impl Template {
    /// Writes the document of a trace's first service.
    pub(super) fn root(random: &mut Random) -> Self {
        Self::new(random, false)
    }

    /// Writes the document of a service that was called.
    pub(super) fn follower(random: &mut Random) -> Self {
        Self::new(random, true)
    }

    /// Returns the plain document.
    pub(super) fn text(&self, in_progress: bool) -> &Text {
        if in_progress {
            &self.begun
        } else {
            &self.finished
        }
    }

    /// Returns the document as the inside of a JSON string.
    pub(super) fn quoted(&self, in_progress: bool) -> &Text {
        if in_progress {
            &self.begun_quoted
        } else {
            &self.finished_quoted
        }
    }

    fn new(random: &mut Random, is_called: bool) -> Self {
        let outcome = Outcome::of(random);
        let mut head = Text::default();
        head.push("{\"trace_id\":\"");
        head.hole(Hole::TraceId);
        head.push("\",\"id\":\"");
        head.hole(Hole::Id(0));
        let service = random.pick(SERVICES);
        head.add(format_args!("\",\"name\":\"{service}\",\"start_time\":"));
        head.seconds(random, 0);
        if is_called {
            head.push(",\"parent_id\":\"");
            head.hole(Hole::ParentId);
            head.push("\"");
        }
        let mut begun = head.clone();
        begun.push(",\"in_progress\":true}");
        let finished = body(head, random, outcome);
        Self {
            finished_quoted: finished.quoted(),
            begun_quoted: begun.quoted(),
            finished,
            begun,
        }
    }
}

impl Text {
    /// Returns the length in bytes; holes have the width of what fills them.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends the text with its holes filled.
    pub(super) fn write(&self, slots: &Slots, out: &mut Vec<u8>) {
        let mut from = 0;
        for (at, hole) in &self.holes {
            out.extend_from_slice(self.bytes.get(from..*at).unwrap_or_default().as_bytes());
            match hole {
                Hole::TraceId => out.extend_from_slice(slots.trace_id.as_bytes()),
                Hole::Id(offset) => push_hex(slots.id.wrapping_add(*offset), out),
                Hole::ParentId => push_hex(slots.parent_id, out),
                Hole::Seconds(after) => push_decimal(slots.start + after, out),
            }
            from = at + hole.width();
        }
        out.extend_from_slice(self.bytes.get(from..).unwrap_or_default().as_bytes());
    }

    fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = self.bytes.write_fmt(text);
    }

    fn hole(&mut self, hole: Hole) {
        self.holes.push((self.bytes.len(), hole));
        let width = hole.width();
        let _ = write!(self.bytes, "{:0width$}", 0);
    }

    fn seconds(&mut self, random: &mut Random, after_ms: u32) {
        self.hole(Hole::Seconds(after_ms / 1000));
        self.add(format_args!(
            ".{:03}{:03}",
            after_ms % 1000,
            random.below(1000)
        ));
    }

    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            holes: self.holes.clone(),
        }
    }

    fn quoted(&self) -> Self {
        let mut quoted = Self::default();
        let mut holes = self.holes.iter().peekable();
        for (at, character) in self.bytes.char_indices() {
            if let Some((_, hole)) = holes.next_if(|(hole_at, _)| *hole_at == at) {
                quoted.holes.push((quoted.bytes.len(), *hole));
            }
            if matches!(character, '"' | '\\') {
                quoted.bytes.push('\\');
            }
            quoted.bytes.push(character);
        }
        quoted
    }
}

impl Hole {
    const fn width(self) -> usize {
        match self {
            Self::TraceId => 35,
            Self::Id(_) | Self::ParentId => 16,
            Self::Seconds(_) => 10,
        }
    }
}

#[derive(Clone, Copy)]
enum Outcome {
    Ok,
    Error,
    Throttle,
    Fault,
}

impl Outcome {
    fn of(random: &mut Random) -> Self {
        match random.below(100) {
            0..88 => Self::Ok,
            88..94 => Self::Error,
            94..96 => Self::Throttle,
            _ => Self::Fault,
        }
    }

    const fn status(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::Error => 404,
            Self::Throttle => 429,
            Self::Fault => 500,
        }
    }

    const fn members(self) -> &'static str {
        match self {
            Self::Ok => "",
            Self::Error => ",\"error\":true",
            Self::Throttle => ",\"error\":true,\"throttle\":true",
            Self::Fault => ",\"fault\":true",
        }
    }
}

fn body(mut text: Text, random: &mut Random, outcome: Outcome) -> Text {
    let size = random.lognormal(850.0, 0.95).min(60_000.0);
    let duration_ms = random.between(3, 4000);
    text.push(",\"end_time\":");
    text.seconds(random, duration_ms);
    request(&mut text, random, outcome);
    cloud(&mut text, random);
    annotations(&mut text, random);
    text.push(outcome.members());
    if matches!(outcome, Outcome::Fault) {
        exceptions(&mut text, random);
    }
    // The first subsegment is the parent of the followers.
    text.push(",\"subsegments\":[");
    let mut n_subsegments = 0;
    while n_subsegments == 0 || (n_subsegments < 12 && bytes_of(&text) < size * 0.6) {
        n_subsegments += 1;
        subsegment(&mut text, random, n_subsegments, duration_ms);
    }
    text.push("]");
    metadata(&mut text, random, size);
    text.push("}");
    text
}

fn request(text: &mut Text, random: &mut Random, outcome: Outcome) {
    let (method, path) = random.pick(ROUTES);
    let (host, agent) = (random.pick(HOSTS), random.pick(AGENTS));
    text.add(format_args!(
        ",\"http\":{{\"request\":{{\"method\":\"{method}\",\"url\":\"https://{host}{path}/{}\",\"user_agent\":\"{agent}\",\"client_ip\":\"10.{}.{}.{}\"}},\"response\":{{\"status\":{},\"content_length\":{}}}}}",
        random.below(100_000), random.below(256), random.below(256), random.below(256), outcome.status(), random.below(20_000),
    ));
}

fn cloud(text: &mut Text, random: &mut Random) {
    let origin = random.pick(ORIGINS);
    text.add(format_args!(
        ",\"origin\":\"{origin}\",\"aws\":{{\"account_id\":\"123456789012\",\"ec2\":{{\"instance_id\":\"i-{:017x}\",\"availability_zone\":\"us-east-1{}\"}},\"xray\":{{\"sdk\":\"{}\",\"sdk_version\":\"2.{}.0\"}}}}",
        random.bits() >> 10, random.pick(ZONES), random.pick(SDKS), random.below(16),
    ));
}

fn annotations(text: &mut Text, random: &mut Random) {
    text.add(format_args!(
        ",\"user\":\"user-{}\",\"annotations\":{{\"tier\":\"{}\",\"cart_items\":{},\"returning\":{},\"tenant\":\"t-{:04}\"}}",
        random.below(5000), random.pick(TIERS), random.below(40), random.percent(50), random.below(300),
    ));
}

fn exceptions(text: &mut Text, random: &mut Random) {
    let kind = random.pick(EXCEPTIONS);
    text.add(format_args!(
        ",\"cause\":{{\"working_directory\":\"/srv/app\",\"exceptions\":[{{\"id\":\"{:016x}\",\"message\":\"{kind}: order {} could not be processed\",\"type\":\"{kind}\",\"remote\":false,\"stack\":[",
        random.bits(), random.below(100_000),
    ));
    for frame_idx in 0..random.between(3, 12) {
        let comma = if frame_idx == 0 { "" } else { "," };
        let (file, label) = random.pick(FRAMES);
        text.add(format_args!(
            "{comma}{{\"path\":\"{file}\",\"line\":{},\"label\":\"{label}\"}}",
            random.below(900)
        ));
    }
    text.push("]}]}");
}

fn subsegment(text: &mut Text, random: &mut Random, n_before: u64, duration_ms: u32) {
    text.push(if n_before == 1 {
        "{\"id\":\""
    } else {
        ",{\"id\":\""
    });
    text.hole(Hole::Id(n_before));
    let start_ms = random.below(duration_ms);
    let end_ms = random.between(start_ms, duration_ms);
    let kind = random.below(4);
    match kind {
        0 => text.add(format_args!("\",\"name\":\"DynamoDB\",\"namespace\":\"aws\",\"aws\":{{\"operation\":\"{}\",\"table_name\":\"{}\",\"region\":\"us-east-1\",\"request_id\":\"{:016X}{:016X}\",\"retries\":0}}", random.pick(DYNAMO), random.pick(TABLES), random.bits(), random.bits())),
        1 => text.add(format_args!("\",\"name\":\"orders@db-{}.internal\",\"namespace\":\"remote\",\"sql\":{{\"url\":\"jdbc:postgresql://db-{}.internal:5432/orders\",\"preparation\":\"statement\",\"database_type\":\"PostgreSQL\",\"database_version\":\"15.4\",\"user\":\"app\",\"sanitized_query\":\"{}\"}}", random.below(4), random.below(4), random.pick(QUERIES))),
        2 => text.add(format_args!("\",\"name\":\"{}\",\"namespace\":\"remote\",\"http\":{{\"request\":{{\"method\":\"GET\",\"url\":\"https://{}/v2/items/{}\"}},\"response\":{{\"status\":200,\"content_length\":{}}}}}", random.pick(HOSTS), random.pick(HOSTS), random.below(100_000), random.below(9000))),
        _ => text.add(format_args!("\",\"name\":\"{}\"", random.pick(STEPS))),
    }
    text.push(",\"start_time\":");
    text.seconds(random, start_ms);
    text.push(",\"end_time\":");
    text.seconds(random, end_ms);
    text.push("}");
}

fn metadata(text: &mut Text, random: &mut Random, size: f64) {
    text.add(format_args!(
        ",\"metadata\":{{\"default\":{{\"build\":\"{:010x}\"",
        random.bits() >> 24
    ));
    let mut n_entries = 0;
    while bytes_of(text) < size - 20.0 {
        n_entries += 1;
        text.add(format_args!(
            ",\"{}_{n_entries}\":{{\"sku\":\"{:08x}\",\"note\":\"{} {} {}\",\"price\":{}.{:02}}}",
            random.pick(STEPS).replace(' ', "_"),
            random.bits() >> 32,
            random.pick(WORDS),
            random.pick(WORDS),
            random.pick(WORDS),
            random.below(500),
            random.below(100),
        ));
    }
    text.push("}}");
}

fn bytes_of(text: &Text) -> f64 {
    f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX))
}

fn push_hex(number: u64, out: &mut Vec<u8>) {
    for shift in (0..16).rev() {
        let digit = usize::try_from((number >> (shift * 4)) & 15).unwrap_or(0);
        out.push(b"0123456789abcdef".get(digit).copied().unwrap_or(b'0'));
    }
}

fn push_decimal(number: u32, out: &mut Vec<u8>) {
    let mut divisor = 1_000_000_000;
    while divisor > 0 {
        let digit = u8::try_from(number / divisor % 10).unwrap_or(0);
        out.push(b'0' + digit);
        divisor /= 10;
    }
}

const SERVICES: &[&str] = &[
    "storefront",
    "checkout-api",
    "cart",
    "inventory",
    "payments",
    "search",
    "recommendations",
    "shipping",
    "session",
    "mailer",
];
const HOSTS: &[&str] = &[
    "shop.example.com",
    "api.example.com",
    "pay.example.net",
    "stock.internal",
    "search.internal",
    "mail.example.org",
];
const ROUTES: &[(&str, &str)] = &[
    ("GET", "/products"),
    ("GET", "/search"),
    ("POST", "/cart/items"),
    ("POST", "/orders"),
    ("GET", "/orders"),
    ("PUT", "/session"),
    ("DELETE", "/cart/items"),
    ("GET", "/health"),
];
const AGENTS: &[&str] = &[
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X)",
    "okhttp/4.12.0",
    "curl/8.5.0",
    "python-requests/2.32.3",
    "Go-http-client/1.1",
];
const ORIGINS: &[&str] = &[
    "AWS::EC2::Instance",
    "AWS::ECS::Container",
    "AWS::EKS::Container",
    "AWS::ElasticBeanstalk::Environment",
];
const ZONES: &[&str] = &["a", "b", "c"];
const SDKS: &[&str] = &[
    "X-Ray for Go",
    "X-Ray for Java",
    "X-Ray for Node.js",
    "X-Ray for Python",
];
const TIERS: &[&str] = &["gold", "silver", "bronze", "trial"];
const EXCEPTIONS: &[&str] = &[
    "ConditionalCheckFailed",
    "TimeoutException",
    "IllegalStateException",
    "ConnectionReset",
];
const FRAMES: &[(&str, &str)] = &[
    ("src/orders/handler.py", "place_order"),
    ("src/orders/repository.py", "save"),
    ("src/payments/client.py", "charge"),
    ("lib/retry.py", "call"),
    ("lib/http.py", "send"),
    ("src/app.py", "dispatch"),
];
const DYNAMO: &[&str] = &["GetItem", "PutItem", "Query", "UpdateItem", "BatchGetItem"];
const TABLES: &[&str] = &["orders", "carts", "sessions", "stock", "customers"];
const QUERIES: &[&str] = &[
    "SELECT * FROM orders WHERE customer_id = ? ORDER BY created_at DESC LIMIT 20",
    "INSERT INTO order_items (order_id, sku, quantity) VALUES (?, ?, ?)",
    "UPDATE stock SET reserved = reserved + ? WHERE sku = ?",
];
const STEPS: &[&str] = &[
    "validate",
    "render page",
    "price cart",
    "apply discount",
    "reserve stock",
    "serialize",
    "authorize",
];
const WORDS: &[&str] = &[
    "amber", "birch", "cobalt", "delta", "ember", "fjord", "garnet", "harbor", "indigo", "juniper",
    "kelp", "lumen", "maple", "nickel", "opal", "pewter", "quartz", "russet", "sable", "topaz",
    "umber", "violet", "willow", "zinc",
];
