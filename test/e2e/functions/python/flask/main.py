from flask import Flask, request, session

app = Flask(__name__)
app.secret_key = "not secret"


@app.route("/hello/<name>")
def hello(name):
    session["seen"] = name
    return f"Hello, {name}!", 201, {"x-query": request.query_string.decode()}


@app.post("/echo")
def echo():
    return request.get_json()


@app.route("/fail")
def fail():
    raise ValueError("Flask answers this itself")
