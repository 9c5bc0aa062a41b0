// In the copy that is printed, laid out as on paper: what is too wide is split or drawn smaller.
const READABLE = 0.7
matchMedia("print").addEventListener("change", () => {
  for (const link of document.querySelectorAll("nav a"))
    link.dataset.page = PAGES[decodeURIComponent(link.hash.slice(1))] ?? "00"
  for (const box of document.querySelectorAll(".table, .formula, .output > pre")) {
    const table = box.querySelector(":scope > table:not(:has([colspan], [rowspan], table))")
    const room = box.parentElement.clientWidth
    if (table && box.scrollWidth * READABLE > room) split(box, table, room)
    else fit(box, room)
  }
}, { once: true })

// As many columns in each part as stay readable, the first column in all of them.
function split(box, table, room) {
  const first = table.rows[0].cells[0].offsetWidth
  const columns = table.rows[0].cells.length
  const share = (room / READABLE - first) / (box.scrollWidth - first)
  const size = Math.max(1, Math.floor(share * (columns - 1)))
  for (let from = 1; from < columns; from += size) {
    const part = box.cloneNode(true)
    for (const row of part.querySelectorAll("tr"))
      [...row.cells].forEach((cell, i) => i == 0 || (from <= i && i < from + size) || cell.remove())
    const caption = part.querySelector("caption") ?? part.firstChild.createCaption()
    caption.append(` (columns ${from + 1} to ${Math.min(from + size, columns)})`)
    box.before(part)
    fit(part, room)
  }
  box.remove()
}

function fit(box, room) {
  const scale = room / box.scrollWidth
  if (scale >= 1) return
  box.style.zoom = scale * 0.99
  if (scale < 0.5) {
    box.style.overflowWrap = "anywhere"
    const note = "[drawn smaller to fit the paper; the HTML report has it in full size]"
    box.insertAdjacentHTML("afterend", `<span class="left-out">${note}</span>`)
  }
}
