"""What a function does in Lambda, once, with the OpenTelemetry API alone; prints the ids of its trace."""

import json

from opentelemetry import trace
from opentelemetry.trace import SpanKind

tracer = trace.get_tracer("shop")
with tracer.start_as_current_span("checkout", kind=SpanKind.SERVER) as checkout:
    checkout.set_attribute("items", 3)
    with tracer.start_as_current_span("stock", kind=SpanKind.CLIENT, attributes={"peer.service": "stock"}):
        pass
context = checkout.get_span_context()
assert trace.get_tracer_provider().force_flush(10_000), "the spans were not taken"
ids = {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}", "sampled": context.trace_flags.sampled}
print(json.dumps(ids))
