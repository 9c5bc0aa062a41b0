// In the copy that is printed, laid out as on paper: what is too wide is split or drawn smaller.
const READABLE = 0.7
const NOTE = "[drawn smaller to fit the paper; the HTML report has it in full size]"
matchMedia("print").addEventListener("change", () => {
  for (const link of document.querySelectorAll("nav a"))
    link.dataset.page = PAGES[decodeURIComponent(link.hash.slice(1))] ?? "00"
  document.querySelectorAll(".table, .formula, .output > pre").forEach(fit)
}, { once: true })

function fit(box) {
  const scale = box.parentElement.clientWidth / box.scrollWidth
  const table = box.querySelector(":scope > table:not(:has([colspan], [rowspan], table, .part))")
  const columns = Math.max(...Array.from(table?.rows ?? [], (row) => row.cells.length))
  if (scale < READABLE && columns > 1) return split(box, columns, scale / READABLE)
  if (scale < 1) box.style.zoom = scale * 0.99
  if (scale < 0.5) box.insertAdjacentHTML("afterend", `<span class="left-out">${NOTE}</span>`)
}

// As many columns in each part as stay readable, the first column in all of them.
function split(box, columns, share) {
  const size = Math.max(1, Math.floor(columns * share) - 1)
  for (let from = 1; from < columns; from += size) {
    const part = box.cloneNode(true)
    box.before(part)
    for (const row of part.querySelectorAll("tr"))
      [...row.cells].forEach((cell, i) => i == 0 || (from <= i && i < from + size) || cell.remove())
    const caption = part.querySelector("caption") ?? part.firstChild.createCaption()
    const words = ` (columns ${from + 1} to ${Math.min(from + size, columns)})`
    caption.insertAdjacentHTML("beforeend", `<span class="part">${words}</span>`)
    fit(part)
  }
  box.remove()
}
