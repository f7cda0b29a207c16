"use strict";

const one = (selector, root = document) => root.querySelector(selector);
const PICKS_DELAY_MS = 300;

async function send(method, path, body) {
  const response = await fetch(path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body ?? {}),
  });
  return response.json();
}

// Show the cart as the server sees it; `aria-busy` tells people and tests when it is up to date.
async function update(method, path, body) {
  const cart = one("#cart") ?? one("main");
  cart.ariaBusy = "true";
  const answer = await send(method, path, body);
  if (one("#message")) one("#message").textContent = answer.message ?? "";
  if (answer.totals) show(answer);
  cart.ariaBusy = "false";
}

function show({ count, lines, totals }) {
  one("#count").textContent = count;
  for (const row of document.querySelectorAll("#cart tr")) {
    if (row.dataset.slug in lines) one(".price", row).textContent = lines[row.dataset.slug];
    else row.remove();
  }
  for (const cell of document.querySelectorAll("[data-total]")) {
    cell.textContent = totals[cell.dataset.total];
  }
  if (one("#empty")) one("#empty").hidden = count > 0;
}

one("#add")?.addEventListener("click", ({ target }) => {
  update("POST", `/api/cart/${target.dataset.slug}`);
});

for (const row of document.querySelectorAll("#cart tr")) {
  const put = (quantity) => update("PUT", `/api/cart/${row.dataset.slug}`, { quantity });
  one("select", row).addEventListener("change", ({ target }) => put(Number(target.value)));
  one(".remove", row).addEventListener("click", () => put(0));
}

one("#code")?.addEventListener("submit", (event) => {
  event.preventDefault();
  update("POST", "/api/code", { code: event.target.code.value });
});

if (one("#picks")) {
  setTimeout(async () => {
    const names = await (await fetch("/api/picks")).json();
    for (const name of names) {
      one("#picks").append(Object.assign(document.createElement("li"), { textContent: name }));
    }
    one("#picks").ariaBusy = "false";
  }, PICKS_DELAY_MS);
}

const page = document.documentElement;
page.dataset.theme = localStorage.getItem("theme") ?? "light";
one("#theme").addEventListener("click", () => {
  page.dataset.theme = page.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", page.dataset.theme);
});
