// Sends one trace with the OpenTelemetry SDK for JavaScript, by the exporter that the usual environment variables ask for,
// and prints its ids.

import { context, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const PACKAGES = { grpc: "grpc", "http/json": "http", "http/protobuf": "proto" };
const protocol = process.env.OTEL_EXPORTER_OTLP_PROTOCOL ?? "http/protobuf";
const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${PACKAGES[protocol]}`);

const provider = new NodeTracerProvider({
  resource: defaultResource().merge(
    resourceFromAttributes({
      "service.name": "shop",
      "service.version": "1.2.3",
      "deployment.environment": "test",
    }),
  ),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
const tracer = provider.getTracer("shop", "4.5.6");
const cart = {
  traceId: "6afd79c0a006649127e371903a2de979",
  spanId: "70de5b6f19ff9a0b",
  isRemote: true,
  traceFlags: 1,
};

const checkout = tracer.startSpan("GET /checkout", {
  kind: SpanKind.SERVER,
  links: [{ context: cart, attributes: { why: "cart" } }],
  attributes: {
    "http.request.method": "GET",
    "url.full": "http://shop.example.com/checkout?basket=7",
    "http.response.status_code": 500,
    "user_agent.original": "browser",
    "enduser.id": "anna",
    "aws.xray.annotations": ["tier", "items", "gift", "weight"],
    tier: "gold",
    items: 3,
    gift: true,
    weight: 1.5,
    sizes: [1, 2, 3],
    // The largest integer this language holds.
    large: Number.MAX_SAFE_INTEGER,
  },
});
const within = trace.setSpan(context.active(), checkout);
const price = tracer.startSpan("price", {}, within);
price.addEvent("rebate", { percent: 5 });
price.end();
const stock = tracer.startSpan(
  "GET",
  {
    kind: SpanKind.CLIENT,
    attributes: {
      "http.request.method": "GET",
      "url.full": "http://stock.example.com/stock",
      "server.address": "stock.example.com",
      "peer.service": "stock",
      "http.response.status_code": 404,
    },
  },
  within,
);
stock.end();
const pay = tracer.startSpan("pay", { kind: SpanKind.CLIENT, attributes: { "peer.service": "bank" } }, within);
pay.recordException(new TypeError("the card was refused"));
pay.setStatus({ code: SpanStatusCode.ERROR, message: "TypeError: the card was refused" });
pay.end();
checkout.setStatus({ code: SpanStatusCode.ERROR, message: "not paid" });
checkout.end();

const { traceId, spanId } = checkout.spanContext();
await provider.forceFlush();
await provider.shutdown();
console.log(JSON.stringify({ trace_id: traceId, span_id: spanId }));
