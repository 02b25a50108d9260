// A shop in express, traced by the X-Ray SDK for Node.js as its guide says; it serves http://127.0.0.1:8080 until it is
// ended, and asks http://127.0.0.1:9090/stock what is left.

import http from "node:http";

import AWSXRay from "aws-xray-sdk-core";
import xrayExpress from "aws-xray-sdk-express";
import express from "express";

AWSXRay.captureHTTPsGlobal(http);
const app = express();
app.use(xrayExpress.openSegment("shop"));

app.get("/checkout", (request, response, next) => {
  AWSXRay.getSegment().setUser("anna");
  AWSXRay.captureFunc("price", (price) => {
    price.addAnnotation("tier", "gold");
    price.addAnnotation("items", 3);
    price.addAnnotation("gift", true);
    price.addMetadata("basket", { books: 2, pens: [1.5, null] }, "shop");
  });
  http
    .get("http://127.0.0.1:9090/stock", (stock) => stock.pipe(response))
    .on("error", next);
});

app.get("/fail", () => {
  AWSXRay.captureFunc("pay", () => {
    throw new TypeError("the card was refused");
  });
});

app.get("/catalogue", (request, response) => {
  // More subsegments than a segment holds: the SDK sends them one by one before the segment.
  for (let number = 0; number < 150; number += 1) {
    AWSXRay.captureFunc("book", (book) => book.addAnnotation("number", number));
  }
  response.send("150 books");
});

app.get("/sampled/:rule", (request, response) => response.send(request.params.rule));

app.use(xrayExpress.closeSegment());
app.listen(8080, "127.0.0.1");
