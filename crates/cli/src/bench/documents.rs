//! Documents like those of services: requests that call others, now and then one that fails.

use model::Timestamp;

/// Makes documents no other source makes.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Drawn once a run; traces of two runs differ in it.
    run: u32,
    /// Which of the run's sources it is.
    number: u16,
    n_made: u64,
}

impl Source {
    /// Returns the source with this number in a run.
    pub(super) const fn new(run: u32, number: u16) -> Self {
        Self {
            run,
            number,
            n_made: 0,
        }
    }

    /// Returns the next documents: traces of [`SEGMENTS`] segments one after the other.
    pub(super) fn batch(&mut self, n_documents: u16, now: Timestamp) -> Vec<String> {
        (0..n_documents).map(|_| self.next(now)).collect()
    }

    fn next(&mut self, now: Timestamp) -> String {
        let (trace, place) = (self.n_made / SEGMENTS, self.n_made % SEGMENTS);
        let id = self.n_made;
        self.n_made += 1;
        let (run, number, seconds) = (self.run, self.number, now.as_secs());
        let name = NAMES
            .get(usize::try_from(place).unwrap_or(0))
            .unwrap_or(&"shop");
        // The first segment calls the others; every trace has ids of its own.
        let parent = match place {
            0 => String::new(),
            _ => format!(r#""parent_id":"{number:04x}{:012x}","#, id - place),
        };
        let is_fault = trace % 50 == 49 && place == 2;
        let status = if is_fault { 500 } else { 200 };
        let start = now.as_secs_f64() - 0.25 + 0.01 * f64::from(u8::try_from(place).unwrap_or(0));
        let end = start + 0.125 + 0.001 * f64::from(u8::try_from(trace % 100).unwrap_or(0));
        format!(
            r#"{{"trace_id":"1-{seconds:08x}-{run:08x}{number:04x}{trace:012x}","id":"{number:04x}{id:012x}",{parent}"name":"{name}","origin":"AWS::ECS::Container","start_time":{start:.6},"end_time":{end:.6},"fault":{is_fault},"http":{{"request":{{"method":"POST","url":"https://{name}.bench.example.com/orders/{trace}","user_agent":"roentgen-bench","client_ip":"192.0.2.7"}},"response":{{"status":{status},"content_length":2048}}}},"annotations":{{"customer":"customer-{customer}","tier":"gold","attempt":1}},"metadata":{{"bench":{{"order":{{"id":{trace},"items":[{{"sku":"A-1001","n":2,"price":12.5}},{{"sku":"B-2002","n":1,"price":99.9}}],"note":"a note of the length such notes have in most of the orders"}}}}}},"subsegments":[{{"id":"{number:03x}a{id:012x}","name":"orders-table","namespace":"aws","start_time":{start:.6},"end_time":{end:.6},"aws":{{"operation":"PutItem","region":"eu-central-1","table_name":"orders","request_id":"{run:08x}{id:024x}"}}}}]}}"#,
            customer = trace % 1000,
        )
    }
}

const SEGMENTS: u64 = 5;
const NAMES: [&str; 5] = [
    "bench-front",
    "bench-orders",
    "bench-payments",
    "bench-stock",
    "bench-mail",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn documents_are_whole_traces_of_their_own() {
        let now = Timestamp::from_secs(1_700_000_000);
        let mut ids = HashSet::new();
        let mut traces: HashSet<String> = HashSet::new();
        for (run, number) in [(1, 0), (1, 1), (2, 0)] {
            let mut source = Source::new(run, number);
            let mut documents = source.batch(3, now);
            documents.extend(source.batch(7, now));
            for text in &documents {
                let document: Value = serde_json::from_str(text).unwrap();
                let text = |name: &str| document[name].as_str().unwrap().to_owned();
                model::TraceId::parse_any(&text("trace_id")).unwrap();
                assert!(ids.insert((text("trace_id"), text("id"))), "{document}");
                traces.insert(text("trace_id"));
                if let Some(parent_id) = document["parent_id"].as_str() {
                    assert!(
                        ids.contains(&(text("trace_id"), parent_id.to_owned())),
                        "{document}"
                    );
                }
            }
        }
        assert_eq!(traces.len(), 6);
    }
}
