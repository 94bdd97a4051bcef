for (const box of document.querySelectorAll(".scroll, .wide-chart")) {  // says that there is more than one sees
  const note = document.createElement("p");
  note.className = "more";
  box.after(note);
  const look = () => {
    const right = box.scrollWidth - box.clientWidth, below = box.scrollHeight - box.clientHeight;
    const more = [];
    if (box.scrollLeft < right - 1) more.push("more to the right \u2192");
    if (box.scrollTop < below - 1) more.push("more below \u2193");
    note.textContent = more.length ? "Scroll: " + more.join(", ") : "";
    note.hidden = right < 2 && below < 2;
    if (note.hidden) box.removeAttribute("tabindex"); else box.tabIndex = 0;
  };
  box.addEventListener("scroll", look);
  new ResizeObserver(look).observe(box);
  look();
}
