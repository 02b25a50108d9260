//! Server-sent events taken apart (HTML, "Server-sent events", "Interpreting an event stream").

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// What kind of event it is; `message` if it does not say.
    pub(super) name: String,
    /// What it says.
    pub(super) data: String,
}

/// A stream of events that is being read.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// Bytes of a line that has not ended.
    rest: Vec<u8>,
    /// The last line ended with a carriage return: a line feed behind it is no line of its own.
    after_return: bool,
    name: String,
    data: Option<String>,
    last_id: Option<String>,
}

/// An event is larger than any the server sends.
#[derive(Debug, thiserror::Error)]
#[error("an event of more than {EVENT_BYTES_MAX} bytes")]
pub(super) struct TooLarge;

impl Events {
    /// Returns the events that end in these bytes.
    ///
    /// # Errors
    /// [`TooLarge`] instead of more memory.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut events = Vec::new();
        for &byte in bytes {
            let is_second_half = byte == b'\n' && self.after_return;
            self.after_return = byte == b'\r';
            match byte {
                _ if is_second_half => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.rest);
                    events.extend(self.line(&String::from_utf8_lossy(&line)));
                }
                _ => self.rest.push(byte),
            }
            let n_bytes = self.rest.len() + self.data.as_ref().map_or(0, String::len);
            if n_bytes > EVENT_BYTES_MAX {
                return Err(TooLarge);
            }
        }
        Ok(events)
    }

    /// Returns the id of the last event, to come back with.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// Forgets what has not ended: the stream broke off and another one begins.
    pub(super) fn begin_anew(&mut self) {
        let last_id = self.last_id.take();
        *self = Self {
            last_id,
            ..Self::default()
        };
    }

    /// Comes back with this id as long as no event has another.
    pub(super) fn since(&mut self, id: &str) {
        self.last_id = Some(id.to_owned());
    }

    /// Takes a line and returns the event that ends with it, if one does.
    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            let data = self.data.take()?;
            let name = if name.is_empty() {
                "message".to_owned()
            } else {
                name
            };
            return Some(Event { name, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => self.last_id = Some(value.to_owned()),
            // Signs of life are lines without a field, and what is not known means nothing.
            _ => {}
        }
        None
    }
}

const EVENT_BYTES_MAX: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stream: &str, expected: &[(&str, &str)], last_id: Option<&str>) {
        // Wherever the stream is cut, the events are the same.
        for n_bytes in [1, 2, 3, stream.len().max(1)] {
            let mut events = Events::default();
            let mut read = Vec::new();
            for part in stream.as_bytes().chunks(n_bytes) {
                read.extend(events.read(part).unwrap());
            }
            let read: Vec<_> = read
                .iter()
                .map(|event| (event.name.as_str(), event.data.as_str()))
                .collect();
            assert_eq!(read, expected, "{stream:?} by {n_bytes}");
            assert_eq!(events.last_id(), last_id, "{stream:?}");
        }
    }

    #[test]
    fn events_are_taken_apart() {
        check("", &[], None);
        check("data: a\n\n", &[("message", "a")], None);
        check(
            "event: trace\nid: 7\ndata: {}\n\n",
            &[("trace", "{}")],
            Some("7"),
        );
        check(
            "event:trace\r\ndata:a\r\ndata: b\r\n\r\n",
            &[("trace", "a\nb")],
            None,
        );
        check(
            "data: a\r\rdata\r\r",
            &[("message", "a"), ("message", "")],
            None,
        );
        check(": alive\nid: 9\n\n", &[], Some("9"));
        check("retry: 1000\nid: 1\n\n: x\n\n", &[], Some("1"));
        check("event: gone\n\ndata: a\n\n", &[("message", "a")], None);
        check("data: not ended\n", &[], None);
        check("data: \u{6f22}\n\n", &[("message", "\u{6f22}")], None);
        check("id: a\n\nid\n\n", &[], Some(""));
    }

    #[test]
    fn a_new_stream_goes_on_behind_the_last_event() {
        let mut events = Events::default();
        events.since("3");
        assert_eq!(events.last_id(), Some("3"));
        events.read(b"id: 4\ndata: half").unwrap();
        events.begin_anew();
        assert_eq!(events.last_id(), Some("4"));
        let read = events.read(b"data: whole\n\n").unwrap();
        assert_eq!(read[0].data, "whole");
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut events = Events::default();
        let part = vec![b'a'; EVENT_BYTES_MAX];
        events.read(&part).unwrap();
        assert!(events.read(b"a").is_err());
        let mut events = Events::default();
        let lines = b"data: 0123456789\n".repeat(EVENT_BYTES_MAX / 10);
        assert!(events.read(&lines).is_err());
    }
}
