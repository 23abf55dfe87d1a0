"""The page at `/`: says that the app runs, lists its functions, and links to the management and admin routes.

Mirrors HomepageMiddleware of the Functions host. The page loads nothing: no script, no font.
"""

from __future__ import annotations

from html import escape

from aiohttp import web

from durablehost.app.model import Function, FunctionApp, TriggerKind
from durablehost.web.console.site import CONSOLE_PATH
from durablehost.web.links import WEBHOOK_PATH
from durablehost.web.router import full_template

_STYLE = """
:root { color-scheme: light dark; --line: #d5dbe3; --soft: #5b6675; --accent: #0b62c4; }
@media (prefers-color-scheme: dark) { :root { --line: #38414d; --soft: #9aa6b5; --accent: #6db3ff; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 0 auto; padding: 3rem 1.25rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.05rem; margin: 2.25rem 0 .5rem; }
p, .soft { color: var(--soft); }
a { color: var(--accent); }
code { font: .875em ui-monospace, monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .5rem .75rem .5rem 0; border-top: 1px solid var(--line); }
th { font-weight: 600; }
ul { padding-left: 1.2rem; }
"""
_KEY_NEEDED = f'<p>Calls need a key. So does the <a href="{CONSOLE_PATH}">console</a>.</p>'


def home_page(app: FunctionApp | None, *, origin: str, prefix: str) -> web.Response:
    """`app` None: the page says only that the host runs."""
    content = _KEY_NEEDED if app is None else _overview(app, origin, prefix)
    return web.Response(
        content_type="text/html",
        charset="utf-8",
        text=f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>Your Azure Function App is up and running.</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Your Azure Functions 4.0 app is up and running</h1>
{content}
</body>
</html>
""",
    )


def _overview(app: FunctionApp, origin: str, prefix: str) -> str:
    rows = "".join(_row(function, origin, prefix) for function in app.functions if not function.is_disabled)
    listing = f"<table>{rows}</table>" if rows else "<p>No functions were found in this app.</p>"
    errors = "".join(f"<li><code>{escape(e.name)}</code>: {escape(e.message)}</li>" for e in app.errors)
    broken = f"<h2>Functions in error</h2><ul>{errors}</ul>" if errors else ""
    return f"""<p>durablehost serves <code>{escape(app.root.name)}</code> on this machine.</p>
<h2>Functions</h2>
{listing}
{broken}
<h2>Where to look next</h2>
<ul>{_next_steps(origin)}</ul>"""


def _row(function: Function, origin: str, prefix: str) -> str:
    if function.kind is TriggerKind.HTTP and function.http is not None:
        methods = _methods(function.http.methods)
        shown = f"<code>{escape(f'{origin}/{full_template(function, prefix)}')}</code>"
        return (
            f'<tr><th>{escape(function.name)}</th><td>{shown}<br><span class="soft">{escape(methods)}</span></td></tr>'
        )
    note = "" if function.kind is not None else " (not triggered by durablehost)"
    kind = escape(function.trigger.type + note)
    return f'<tr><th>{escape(function.name)}</th><td class="soft">{kind}</td></tr>'


def _methods(methods: tuple[str, ...] | None) -> str:
    return "any method" if methods is None else ", ".join(method.upper() for method in methods) or "no method"


def _next_steps(origin: str) -> str:
    pages = (
        (CONSOLE_PATH, "The console: the orchestration instances, live"),
        (f"{WEBHOOK_PATH}/instances", "The same instances as JSON"),
        ("/admin/functions", "The functions with their bindings"),
        ("/admin/host/status", "The state of the host"),
    )
    return "".join(f'<li><a href="{escape(origin + path)}">{text}</a></li>' for path, text in pages)
