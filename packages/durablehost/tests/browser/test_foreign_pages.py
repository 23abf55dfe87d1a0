"""What pages of other sites can do to a host, in a real browser: Chromium decides which headers a request has."""

from __future__ import annotations

import json
from functools import partial

import pytest

from durablehost.app.invocation import HttpResponse, InvocationResult
from packages.durablehost.tests.browser.conftest import Arrived, Site, Tabs
from packages.durablehost.tests.eventually import eventually
from packages.durablehost.tests.unit.web.conftest import Edge, EdgeFactory
from packages.durablehost.tests.unit.web.fakes import make_app, make_function, responds

# Everything by which a page can cause a request, with the word that ends its path.
SILENT = """
<!DOCTYPE html>
<link rel="stylesheet" href="{host}/api/F/style"><link rel="icon" href="{host}/api/F/icon">
<link rel="prefetch" href="{host}/api/F/link"><link rel="preload" as="image" href="{host}/api/F/preload">
<script type="speculationrules">{rules}</script>
<img src="{host}/api/F/image"><script src="{host}/api/F/script"></script><video src="{host}/api/F/video"></video>
<iframe src="{host}/api/F/frame"></iframe><object data="{host}/api/F/object"></object><embed src="{host}/api/F/embed">
<img src="http://0.0.0.0:{port}/api/F/zero"><img src="http://[::ffff:127.0.0.1]:{port}/api/F/mapped">
<img src="http://localhost.:{port}/api/F/dot"><img src="http://127.1:{port}/api/F/short">
<img src="http://2130706433:{port}/api/F/number"><img src="http://blocked.test/">
<style>
  @font-face {{ font-family: foreign; src: url({host}/api/F/font); }}
  body {{ font-family: foreign; background: url({host}/api/F/background); }}
</style>
<audio src="{host}/api/F/audio"></audio><input type="image" src="{host}/api/F/input">
<svg><image href="{host}/api/F/svg"></image></svg><img src="/away">
<script type="module" src="{host}/api/F/module"></script><link rel="modulepreload" href="{host}/api/F/early">
<iframe sandbox="allow-scripts" srcdoc="<script>
  fetch('{host}/api/F/sandbox', {{method: 'POST', mode: 'no-cors'}})
</script>"></iframe>
<iframe name="frame"></iframe>
<iframe name="other"></iframe>
<form id="post" target="frame" method="post" action="{host}/api/F/form"></form>
<form id="text" target="other" method="post" enctype="text/plain" action="{host}/api/F/text">
  <input name='{{"a": "' value='"}}'>
</form>
<form id="get" target="frame" method="get" action="{host}/api/F/query"></form>
<a id="link" href="#" ping="{host}/api/F/ping">link</a>
<script>
  onload = async () => {{
    const calls = ["GET", "POST"].map(method => fetch("{host}/api/F/fetch" + method, {{method, mode: "no-cors"}}));
    calls.push(fetch("{host}/api/F/put", {{method: "PUT"}}), fetch("{host}/api/F/cors"));
    navigator.sendBeacon("{host}/api/F/beacon", "x");
    fetch("{host}/api/F/alive", {{method: "POST", mode: "no-cors", keepalive: true, body: "x"}});
    fetch("{host}/api/F/credentials", {{mode: "no-cors", credentials: "include"}});
    import("{host}/api/F/import").catch(() => 0);
    const request = new XMLHttpRequest();
    request.open("POST", "{host}/api/F/xhr");
    request.send("x");
    document.getElementById("post").submit();
    document.getElementById("text").submit();
    document.getElementById("link").click();
    new WebSocket("ws" + "{host}".slice(4) + "/api/F/socket");
    new EventSource("{host}/api/F/events");
    const read = (await Promise.allSettled(calls)).map(call => call.value?.type ?? "refused");
    await fetch("/report", {{method: "POST", body: JSON.stringify(read)}});
  }};
</script>
"""
REFUSED = (
    "style", "link", "preload", "prefetch", "prerender", "image", "script", "video", "frame", "object", "embed",
    "form", "ping", "fetchGET", "fetchPOST", "cors", "beacon", "socket", "events", "report", "font", "background",
    "audio", "input", "svg", "redirected", "module", "early", "sandbox", "text", "alive", "credentials", "import",
    "xhr",
)  # fmt: skip
# Names of this machine that not every version of a browser still connects to.
ODD_NAMES = ("zero", "mapped", "dot", "short", "number", "icon", "query")

# A browser on a busy machine takes long for its first page.
eventually_on_a_page = partial(eventually, timeout_seconds=120)


@pytest.fixture
async def edge(serve: EdgeFactory) -> Edge:
    return await serve(make_app(make_function("F", route="F/{*rest}", auth_level="anonymous")))


async def test_no_request_that_a_foreign_page_causes_silently_runs_a_function(
    edge: Edge, site: Site, tabs: Tabs, arrived: Arrived
) -> None:
    host = f"http://localhost:{edge.server.port}"
    rules = {
        kind: [{"source": "list", "urls": [f"{host}/api/F/{kind}"], "eagerness": "immediate"}]
        for kind in ("prefetch", "prerender")
    }
    site.redirects["/away"] = f"{host}/api/F/redirected"
    site.pages["/"] = SILENT.format(host=host, port=edge.server.port, rules=json.dumps(rules))
    site.headers["Content-Security-Policy-Report-Only"] = f"img-src {host}; report-uri {host}/api/F/report"

    await tabs.open(f"http://evil.test:{site.port}/")

    def statuses() -> dict[str, int]:
        seen = {path.removeprefix("/api/F/"): status for path, status in arrived.statuses().items()}
        assert not [word for word in REFUSED if word not in seen]
        return seen

    seen = await eventually_on_a_page(statuses)
    assert {word: seen[word] for word in REFUSED} == dict.fromkeys(REFUSED, 403)
    assert {seen.get(word, 403) for word in ODD_NAMES} == {403}
    (read,) = await eventually_on_a_page(lambda: site.reports)
    assert json.loads(read) == ["opaque", "opaque", "refused", "refused"]
    assert edge.executor.calls == []


@pytest.mark.parametrize(
    ("page", "is_answered"),
    [
        ("<script>location = '{url}'</script>", True),
        ("<meta http-equiv='refresh' content='0;url={url}'>", True),
        ("<form id='form' action='{url}'></form><script>form.submit()</script>", True),
        ("<a id='link' href='{url}'>link</a><script>link.click()</script>", True),
        ("<script>location = '/away'</script>", True),
        ("<form id='form' method='post' action='{url}'></form><script>form.submit()</script>", False),
    ],
    ids=["location", "refresh", "form", "link", "redirect", "form-post"],
)
async def test_a_get_that_opens_as_a_page_is_answered_and_a_post_is_not(
    edge: Edge, site: Site, tabs: Tabs, arrived: Arrived, page: str, is_answered: bool
) -> None:
    site.pages["/"] = page.format(url=f"http://localhost:{edge.server.port}/api/F/opened")
    site.redirects["/away"] = f"http://localhost:{edge.server.port}/api/F/opened"
    await tabs.open(f"http://evil.test:{site.port}/")
    status = await eventually_on_a_page(lambda: arrived.statuses().get("/api/F/opened"))
    assert (status, len(edge.executor.calls)) == ((204, 1) if is_answered else (403, 0))


@pytest.mark.parametrize("kind", ["prefetch", "prerender"])
async def test_a_page_that_was_refused_in_advance_is_loaded_when_it_is_opened(
    edge: Edge, site: Site, tabs: Tabs, arrived: Arrived, kind: str
) -> None:
    url = f"http://localhost:{edge.server.port}/api/F/later"
    rules = json.dumps({kind: [{"source": "list", "urls": [url], "eagerness": "immediate"}]})
    opening = f"while (!(await fetch('/go')).ok) await new Promise(next => setTimeout(next, 50)); location = '{url}'"
    site.pages["/"] = f'<script type="speculationrules">{rules}</script><script type="module">{opening}</script>'
    await tabs.open(f"http://localhost:{site.port}/")
    await eventually_on_a_page(lambda: arrived.statuses() == {"/api/F/later": 403})
    assert edge.executor.calls == []
    site.pages["/go"] = "now"
    await eventually_on_a_page(lambda: arrived.statuses() == {"/api/F/later": 204})
    assert len(edge.executor.calls) == 1


async def test_a_rebound_name_reaches_no_function(edge: Edge, tabs: Tabs, arrived: Arrived) -> None:
    await tabs.open(f"http://rebound.test:{edge.server.port}/api/F/rebound")
    status = await eventually_on_a_page(lambda: arrived.statuses().get("/api/F/rebound"))
    assert (status, edge.executor.calls) == (403, [])


async def test_own_pages_and_those_that_cors_names_call_and_read(serve: EdgeFactory, site: Site, tabs: Tabs) -> None:
    edge = await serve(
        make_app(make_function("Page", auth_level="anonymous"), make_function("F", auth_level="anonymous")),
        cors_origins=(f"http://app.test:{site.port}",),
    )
    host = f"http://localhost:{edge.server.port}"
    calling = f"""<script type="module">
      const read = await fetch("{host}/api/F", {{method: "POST"}}).then(answer => answer.text(), () => "refused");
      await fetch("http://app.test:{site.port}/report", {{method: "POST", mode: "no-cors", body: read}});
    </script>"""
    page = HttpResponse(status=200, headers={"content-type": "text/html"}, body=calling.encode())
    edge.executor.answers["Page"] = InvocationResult(response=page)
    edge.executor.answers["F"] = responds(b"secret")
    site.pages["/"] = calling

    for url in (f"{host}/api/Page", f"http://app.test:{site.port}/", f"http://other.test:{site.port}/"):
        count = len(site.reports)
        await tabs.open(url)
        await eventually_on_a_page(lambda count=count: len(site.reports) > count)
    assert site.reports == ["secret", "secret", "refused"]
