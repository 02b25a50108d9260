"""A shop in Flask, traced by the X-Ray SDK for Python as its guide says; it serves http://127.0.0.1:8080 until it is
ended, and asks http://127.0.0.1:9090/stock what is left."""

import requests
from aws_xray_sdk.core import patch, xray_recorder
from aws_xray_sdk.ext.flask.middleware import XRayMiddleware
from flask import Flask

app = Flask(__name__)
xray_recorder.configure(service="shop")
XRayMiddleware(app, xray_recorder)
patch(["requests"])


@app.route("/checkout")
def checkout():
    xray_recorder.current_segment().set_user("anna")
    with xray_recorder.in_subsegment("price") as price:
        price.put_annotation("tier", "gold")
        price.put_annotation("items", 3)
        price.put_annotation("gift", True)
        price.put_metadata("basket", {"books": 2, "pens": [1.5, None]}, "shop")
    return requests.get("http://127.0.0.1:9090/stock", timeout=5).text


@app.route("/fail")
def fail():
    with xray_recorder.in_subsegment("pay"):
        raise ValueError("the card was refused")


@app.route("/catalogue")
def catalogue():
    # More subsegments than a segment holds: the SDK sends them one by one before the segment.
    for number in range(150):
        with xray_recorder.in_subsegment("book") as book:
            book.put_annotation("number", number)
    return "150 books"


@app.route("/sampled/<rule>")
def sampled(rule):
    return rule


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=8080, threaded=True)
