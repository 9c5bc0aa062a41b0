// In the copy that is printed, laid out as on paper: what is too wide is split or drawn smaller.
const READABLE = 0.7
document.fonts.ready.then(() => {
  for (const box of document.querySelectorAll(".table, .formula, .output > pre")) {
    const room = box.parentElement.clientWidth
    const table = box.querySelector(":scope > table")
    const simple = table && !table.querySelector("[colspan], [rowspan], table")
    const boxes = simple && box.scrollWidth * READABLE > room ? split(box, table, room) : [box]
    boxes.forEach((one) => fit(one, room))
  }
})

// As many columns in each part as stay readable, the first column in all of them.
function split(box, table, room) {
  const widths = [...table.rows[0].cells].map((cell) => cell.offsetWidth)
  const parts = []
  let free = 0
  widths.slice(1).forEach((width, i) => {
    if (!parts.length || width > free) {
      parts.push([0])
      free = room / READABLE - widths[0]
    }
    parts.at(-1).push(i + 1)
    free -= width
  })
  const boxes = parts.map((columns) => {
    const copy = box.cloneNode(true)
    for (const row of copy.querySelectorAll("tr"))
      [...row.cells].forEach((cell, i) => columns.includes(i) || cell.remove())
    copy.querySelector("caption")?.append(` (columns ${columns[1] + 1} to ${columns.at(-1) + 1})`)
    return copy
  })
  if (!boxes.length) return [box]
  box.replaceWith(...boxes)
  return boxes
}

// A long formula goes on in the next line, before a sign of its first level.
function breakLines(box) {
  for (const math of box.querySelectorAll(":scope > math")) {
    const parts = [math.cloneNode(false)]
    for (const child of [...math.childNodes]) {
      if (child.localName === "mo" && /^[=+<>\u2212\u2264\u2265]$/.test(child.textContent))
        parts.push(math.cloneNode(false))
      parts.at(-1).append(child)
    }
    math.replaceWith(...parts.filter((part) => part.hasChildNodes()))
  }
  box.style.flexWrap = "wrap"
  box.style.columnGap = "0.25em"
}

function fit(box, room) {
  if (box.matches(".formula") && room < READABLE * box.scrollWidth) breakLines(box)
  const scale = room / box.scrollWidth
  if (scale >= 1) return
  box.style.zoom = Math.max(scale * 0.99, 0.3)
  if (scale < 0.5) {
    box.style.overflowWrap = "anywhere"
    const note = document.createElement("span")
    note.className = "left-out"
    note.textContent = "[drawn smaller to fit the paper; the HTML report has it in full size]"
    box.after(note)
  }
}
