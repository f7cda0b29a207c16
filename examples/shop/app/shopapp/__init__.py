"""A small tea shop: the web application under test.

Invariant: everything a visitor changes lives in that visitor's own state, found by a cookie.
Two browsers never see one another's cart, account or orders.
"""

from __future__ import annotations

import secrets

from flask import Flask, render_template
from werkzeug.exceptions import NotFound

from shopapp.pricing import money
from shopapp.views import shop
from shopapp.visitors import Visitors, current_visitor


def create_app() -> Flask:
    """Return a new shop with no visitors yet."""
    app = Flask(__name__)
    app.secret_key = secrets.token_bytes(32)
    app.extensions["visitors"] = Visitors()
    app.add_template_filter(money)
    app.register_blueprint(shop)
    app.register_error_handler(NotFound, _not_found)
    app.context_processor(lambda: {"visitor": current_visitor()})
    return app


def _not_found(error: NotFound) -> tuple[str, int]:
    return render_template("not_found.html"), 404
