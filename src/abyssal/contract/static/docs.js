"use strict";

// Adds what pages can do without: a field that finds routes, buttons that copy examples.

const contents = document.getElementById("contents");
const filter = document.getElementById("filter");
const wide = window.matchMedia("(min-width: 64rem)");

function keepOpen() {
  if (contents && wide.matches) contents.open = true;
}

function find() {
  const wanted = filter.value.trim().toLowerCase();
  for (const section of contents.querySelectorAll("section")) {
    let shown = 0;
    for (const item of section.querySelectorAll("li")) {
      const link = item.querySelector("a");
      item.hidden = !`${link.textContent} ${link.title}`.toLowerCase().includes(wanted);
      if (!item.hidden) shown += 1;
    }
    section.hidden = shown === 0;
  }
}

function addCopy(figure) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(figure.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  figure.querySelector("figcaption").append(button);
}

keepOpen();
wide.addEventListener("change", keepOpen);
if (filter) {
  filter.parentElement.hidden = false;
  filter.addEventListener("input", find);
}
if (navigator.clipboard) {
  for (const figure of document.querySelectorAll("figure:has(figcaption)")) addCopy(figure);
}
