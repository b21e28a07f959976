// What makes the pages live. Every page works without it.

const ROWS_MAX = 200;

/** Keep a piece of the page as the server says it is, but not under the hands of who is using it. */
function replace(place, html) {
  if (!place.contains(document.activeElement)) place.innerHTML = html;
}

/** New rows on top of a table, and no more of them than anybody reads. */
function prepend(place, html) {
  place.insertAdjacentHTML("afterbegin", html);
  while (place.rows.length > ROWS_MAX) place.deleteRow(-1);
}

/** A stream of pieces of HTML into an element, with a button that stops and starts it. */
function live(place) {
  const put = place.dataset.live === "rows" ? prepend : replace;
  const button = document.querySelector(`[data-switch="${place.id}"]`);
  let stream = null;
  const say = (text) => { if (button) button.textContent = text; };
  const start = () => {
    stream = new EventSource(place.dataset.from);
    stream.onmessage = (message) => put(place, message.data);
    stream.onopen = () => say("Live: stop");
    stream.onerror = () => say(stream.readyState === EventSource.CLOSED ? "Not live: start" : "Waiting for the gateway …");
  };
  const stop = () => { stream.close(); stream = null; say("Stopped: start"); };
  if (button) {
    button.hidden = false;
    button.addEventListener("click", () => (stream && stream.readyState !== EventSource.CLOSED ? stop() : start()));
  }
  start();
}

/** A button that copies the text behind it. */
function copies(button) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.nextElementSibling.textContent);
    button.textContent = "Copied";
  });
}

for (const button of document.querySelectorAll("[data-copy]")) copies(button);
for (const place of document.querySelectorAll("[data-live]")) live(place);
for (const form of document.querySelectorAll("form[data-go-on]")) form.requestSubmit();
