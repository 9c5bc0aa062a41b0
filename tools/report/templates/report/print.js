// In the copy that is printed, laid out as on paper: what is too wide is split or drawn smaller.
const READABLE = 0.7
document.fonts.ready.then(() => {
  for (const box of document.querySelectorAll(".table, .formula, .output > pre")) {
    const room = box.parentElement.clientWidth
    const table = box.querySelector(":scope > table:not(:has([colspan], [rowspan], table))")
    if (table && table.rows[0].cells.length > 1 && box.scrollWidth * READABLE > room)
      split(box, table, room).forEach((part) => fit(part, room))
    else fit(box, room)
  }
})

// As many columns in each part as stay readable, the first column in all of them.
function split(box, table, room) {
  const [first, ...widths] = [...table.rows[0].cells].map((cell) => cell.offsetWidth)
  const parts = []
  let free = 0
  widths.forEach((width, i) => {
    if (!parts.length || width > free) {
      parts.push([0])
      free = room / READABLE - first
    }
    parts.at(-1).push(i + 1)
    free -= width
  })
  const boxes = parts.map((columns) => {
    const copy = box.cloneNode(true)
    for (const row of copy.querySelectorAll("tr"))
      [...row.cells].forEach((cell, i) => columns.includes(i) || cell.remove())
    const note = ` (columns ${columns[1] + 1} to ${columns.at(-1) + 1})`
    const caption = copy.querySelector("caption") ?? copy.firstChild.createCaption()
    caption.append(note)
    return copy
  })
  box.replaceWith(...boxes)
  return boxes
}

function fit(box, room) {
  const scale = room / box.scrollWidth
  if (scale >= 1) return
  box.style.zoom = scale * 0.99
  if (scale < 0.5) {
    box.style.overflowWrap = "anywhere"
    const note = '<span class="left-out">[drawn smaller to fit the paper; the HTML report has it in full size]</span>'
    box.insertAdjacentHTML("afterend", note)
  }
}
