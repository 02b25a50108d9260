"""Sends one trace with the OpenTelemetry SDK for Python, by the exporter that the usual environment variables ask for, and
prints its ids."""

import json
import os

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags


def exporter():
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    elif protocol == "http/json":
        from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    return OTLPSpanExporter()


def main():
    resource = Resource.create({"service.name": "shop", "service.version": "1.2.3", "deployment.environment": "test"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(exporter()))
    tracer = provider.get_tracer("shop", "4.5.6")
    cart = SpanContext(0x6AFD79C0A006649127E371903A2DE979, 0x70DE5B6F19FF9A0B, True, TraceFlags(1))
    checkout = tracer.start_span("GET /checkout", kind=SpanKind.SERVER, links=[Link(cart, {"why": "cart"})])
    checkout.set_attributes(
        {
            "http.request.method": "GET",
            "url.full": "http://shop.example.com/checkout?basket=7",
            "http.response.status_code": 500,
            "user_agent.original": "browser",
            "enduser.id": "anna",
            "aws.xray.annotations": ["tier", "items", "gift", "weight"],
            "tier": "gold",
            "items": 3,
            "gift": True,
            "weight": 1.5,
            "sizes": [1, 2, 3],
            "large": 9007199254740993,
        }
    )
    with trace.use_span(checkout, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        with tracer.start_as_current_span("price") as price:
            price.add_event("rebate", {"percent": 5})
        stock = tracer.start_span(
            "GET",
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": "GET",
                "url.full": "http://stock.example.com/stock",
                "server.address": "stock.example.com",
                "peer.service": "stock",
                "http.response.status_code": 404,
            },
        )
        stock.end()
        try:
            with tracer.start_as_current_span("pay", kind=SpanKind.CLIENT, attributes={"peer.service": "bank"}):
                raise ValueError("the card was refused")
        except ValueError:
            checkout.set_status(Status(StatusCode.ERROR, "not paid"))
    context = checkout.get_span_context()
    assert provider.force_flush(10_000), "the spans were not taken"
    provider.shutdown()
    print(json.dumps({"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}))


if __name__ == "__main__":
    main()
