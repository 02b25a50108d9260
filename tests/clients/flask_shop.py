"""A shop in Flask that knows nothing of tracing; it serves http://127.0.0.1:8080 until it is ended, and asks
http://127.0.0.1:9090/stock what is left."""

import requests
from flask import Flask

app = Flask(__name__)


@app.route("/checkout")
def checkout():
    return requests.get("http://127.0.0.1:9090/stock", timeout=5).text


@app.route("/fail")
def fail():
    raise ValueError("the card was refused")


@app.route("/sampled/<rule>")
def sampled(rule):
    return rule


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=8080, threaded=True)
