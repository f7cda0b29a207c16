"""The shop's pages and its small JSON interface.

Invariant: a page only shows state; only POST and PUT change it.
"""

from __future__ import annotations

import re
import time

from flask import Blueprint, abort, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue as View

from shopapp import catalogue
from shopapp.catalogue import PRODUCTS, Product
from shopapp.pricing import DISCOUNT_PERCENT, money
from shopapp.visitors import Visitor, current_visitor

shop = Blueprint("shop", __name__)

ACCOUNTS = {"guest@example.org": "oolong"}
MAX_QUANTITY = 9
MAX_DELAY_MS = 5000
CHECKOUT_RULES = {
    "name": (r".*\S.*", "Please tell us your name."),
    "street": (r".*\S.*", "Please tell us your street."),
    "postcode": (r"\d{4,5}", "A postcode has four or five digits."),
}


@shop.get("/")
def home() -> View:
    return render_template("home.html", products=PRODUCTS)


@shop.get("/search")
def search() -> View:
    query = request.args.get("q", "")
    return render_template("search.html", query=query, products=catalogue.search(query))


@shop.get("/products/<slug>")
def product(slug: str) -> View:
    return render_template("product.html", product=_product_or_404(slug))


@shop.get("/cart")
def cart() -> View:
    return render_template("cart.html", max_quantity=MAX_QUANTITY)


@shop.post("/api/cart/<slug>")
def add_to_cart(slug: str) -> View:
    visitor = current_visitor()
    return _put(visitor, slug, visitor.quantities.get(slug, 0) + 1)


@shop.put("/api/cart/<slug>")
def change_quantity(slug: str) -> View:
    quantity = request.get_json().get("quantity")
    return _put(current_visitor(), slug, quantity) if isinstance(quantity, int) else abort(400)


@shop.post("/api/code")
def discount_code() -> View:
    code = str(request.get_json().get("code", "")).strip().upper()
    if code not in DISCOUNT_PERCENT:
        return jsonify(message="We do not know this code."), 400
    visitor = current_visitor()
    visitor.code = code
    return _cart_as_json(visitor)


@shop.get("/login")
def login_form() -> View:
    return render_template("login.html", email="", error=None)


@shop.post("/login")
def login() -> View:
    email = request.form.get("email", "")
    if ACCOUNTS.get(email) != request.form.get("password"):
        return render_template("login.html", email=email, error="Wrong e-mail or password."), 401
    current_visitor().user = email
    return redirect(url_for("shop.account"))


@shop.post("/logout")
def logout() -> View:
    current_visitor().user = None
    return redirect(url_for("shop.home"))


@shop.get("/account")
def account() -> View:
    return render_template("account.html") if current_visitor().user else _to_login()


@shop.get("/checkout")
def checkout_form() -> View:
    return _checkout({}) if current_visitor().user else _to_login()


@shop.post("/checkout")
def checkout() -> View:
    visitor = current_visitor()
    if not visitor.user:
        return _to_login()
    errors = {
        name: message
        for name, (pattern, message) in CHECKOUT_RULES.items()
        if not re.fullmatch(pattern, request.form.get(name, "").strip())
    }
    if not visitor.lines:
        errors["cart"] = "Your cart is empty."
    if errors:
        return _checkout(errors)
    order = visitor.order(request.form["name"].strip())
    return redirect(url_for("shop.order", number=order.number))


@shop.get("/orders/<number>")
def order(number: str) -> View:
    found = current_visitor().orders.get(number)
    return render_template("order.html", order=found) if found else abort(404)


@shop.get("/picks")
def picks() -> View:
    return render_template("picks.html")


@shop.get("/api/picks")
def picks_as_json() -> View:
    return jsonify([item.name for item in PRODUCTS if item.in_stock][:3])


@shop.get("/slow")
def slow() -> View:
    milliseconds = request.args.get("ms", 500, type=int)
    time.sleep(min(max(milliseconds, 0), MAX_DELAY_MS) / 1000)
    return render_template("slow.html", milliseconds=milliseconds)


def _product_or_404(slug: str) -> Product:
    return catalogue.find(slug) or abort(404)


def _put(visitor: Visitor, slug: str, quantity: int) -> View:
    if not _product_or_404(slug).in_stock or not 0 <= quantity <= MAX_QUANTITY:
        return jsonify(message="We do not have that many."), 400
    visitor.put(slug, quantity)
    return _cart_as_json(visitor)


def _cart_as_json(visitor: Visitor) -> View:
    totals = visitor.totals
    return jsonify(
        count=visitor.count,
        lines={line.product.slug: money(line.total) for line in visitor.lines},
        totals={
            "subtotal": money(totals.subtotal),
            "discount": money(totals.discount),
            "shipping": money(totals.shipping),
            "total": money(totals.total),
        },
    )


def _checkout(errors: dict[str, str]) -> View:
    return render_template("checkout.html", errors=errors, form=request.form)


def _to_login() -> View:
    return redirect(url_for("shop.login_form"))
