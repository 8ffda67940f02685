// Locust keeps custom arguments in a closed fold, and asks for a host. Here the target is picked from a list, so: open the fold, hide the host.
// What is too long for a field's label is shown under the mouse.
new MutationObserver(() => {
  for (const fold of document.querySelectorAll(".MuiAccordionSummary-root:not([data-seen])")) {
    if (fold.textContent.trim() !== "Custom parameters") continue;
    fold.dataset.seen = "yes";
    fold.querySelector(".MuiTypography-root").textContent = "Target and load";
    if (fold.getAttribute("aria-expanded") !== "true") fold.click();
  }
  for (const label of document.querySelectorAll("form label")) label.parentElement.title = label.textContent;
  for (const label of document.querySelectorAll("header .MuiTypography-root")) {
    if (label.textContent === "Host") label.parentElement.style.display = "none";
  }
}).observe(document.documentElement, { childList: true, subtree: true });
