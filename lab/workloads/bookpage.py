"""What bookinfo's services say about the one book there is, and the page made of it. Pure; whatever a callee says, it makes a page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

Json = dict[str, Any]
Given = Mapping[str, Any] | None

TITLE = "The Comedy of Errors"
PRODUCT = {"id": 0, "title": TITLE, "descriptionHtml": "Two pairs of twins, one town, and a day of being taken for somebody else."}

_TEXTS = (
    ("Reviewer1", "I laughed from the first mistaken greeting to the last, and so did the whole row."),
    ("Reviewer2", "Light fare beside the great tragedies, but a good evening all the same."),
)
_STARS = {"Reviewer1": 5, "Reviewer2": 4}
NO_RATINGS = "Ratings service is currently unavailable"


def sorry(part: str) -> str:
    """What stands in place of `details`, `reviews` or `ratings` when its service is away."""
    return f"Sorry, product {part} are currently unavailable for this book."


def details(product: int) -> Json:
    """The details service's answer."""
    book = {"author": "William Shakespeare", "year": 1595, "type": "paperback", "pages": 200, "publisher": "PublisherA", "language": "English"}
    return {"id": product, **book, "ISBN-10": "1234567890", "ISBN-13": "123-1234567890"}


def ratings(product: int) -> Json:
    """The ratings service's answer."""
    return {"id": product, "ratings": dict(_STARS)}


def reviews(product: int, pod: str, given: Given, color: str) -> Json:
    """The reviews service's answer. given: what ratings said, None for the version that does not ask; color: of the stars."""
    result: Json = {"id": str(product), "podname": pod, "reviews": [{"reviewer": who, "text": text} for who, text in _TEXTS]}
    if given is None:
        return result
    stars = given.get("ratings")
    for review in result["reviews"]:
        count = _whole(stars.get(review["reviewer"])) if isinstance(stars, Mapping) else 0
        review["rating"] = {"stars": count, "color": color} if count else {"error": NO_RATINGS}
    if given.get("podname"):
        result["ratings_podname"] = str(given["podname"])
    return result


def product(pod: str, about: Given, said: Given) -> Json:
    """The product page as JSON: its parts, an `error` in place of one that is missing, and who served them."""
    return {
        **PRODUCT,
        "details": dict(about) if about else {"error": sorry("details")},
        "reviews": _reviews(said) if said else {"error": sorry("reviews")},
        "pods": served_by(pod, about, said),
    }


def served_by(pod: str, about: Given, said: Given) -> dict[str, str]:
    """Which pod served which part; an empty name for none."""
    return {
        "productpage": pod,
        "details": str((about or {}).get("podname") or ""),
        "reviews": str((said or {}).get("podname") or ""),
        "ratings": str((said or {}).get("ratings_podname") or ""),
    }


def index(pod: str) -> str:
    """The start page."""
    return _html("Simple Bookstore App", f"<h1>Simple Bookstore App</h1>\n<p><a href='/productpage'>{escape(TITLE)}</a></p>", pod)


def page(pod: str, about: Given, said: Given) -> str:
    """The product page."""
    parts = [f"<h1>{escape(TITLE)}</h1>", f"<p>{escape(str(PRODUCT['descriptionHtml']))}</p>", "<h2>Book Details</h2>"]
    if about:
        rows = (f"<dt>{escape(str(key))}</dt><dd>{escape(str(value))}</dd>" for key, value in about.items() if key not in ("id", "podname"))
        parts += ["<dl>", *rows, "</dl>"]
    else:
        parts += ["<h3>Error fetching product details!</h3>", f"<p>{sorry('details')}</p>"]
    parts.append("<h2>Book Reviews</h2>")
    if said:
        for review in _reviews(said):
            parts.append(f"<blockquote><p>{escape(review['text'])}</p><small>{escape(review['reviewer'])}</small>{_stars(review)}</blockquote>")
    else:
        parts += ["<h3>Error fetching product reviews!</h3>", f"<p>{sorry('reviews')}</p>"]
    parts.append("<h2>Served by</h2>\n<ul>")
    parts += [f"<li>{part}: {escape(name)}</li>" for part, name in served_by(pod, about, said).items() if name]
    parts.append("</ul>")
    return _html(TITLE, "\n".join(parts), pod)


def _reviews(said: Mapping[str, Any]) -> list[Json]:
    """The reviews that an answer really holds."""
    found = said.get("reviews")
    kept = [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
    return [dict(one) | {"reviewer": str(one.get("reviewer") or ""), "text": str(one.get("text") or "")} for one in kept]


def _stars(review: Mapping[str, Any]) -> str:
    rating = review.get("rating")
    if not isinstance(rating, Mapping):
        return ""
    count = _whole(rating.get("stars"))
    if not count:
        return f"<p><i>{escape(str(rating.get('error') or NO_RATINGS))}</i></p>"
    return f"<p><font color=\"{escape(str(rating.get('color') or 'black'))}\">{'★' * count}{'☆' * (5 - count)}</font></p>"


def _whole(value: object) -> int:
    """A number of stars, 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 5 else 0


def _html(title: str, body: str, pod: str) -> str:
    head = f'<meta charset="utf-8">\n<title>{escape(title)}</title>'
    return f"<!DOCTYPE html>\n<html>\n<head>\n{head}\n</head>\n<body>\n{body}\n<!-- pod: {escape(pod)} -->\n</body>\n</html>\n"
