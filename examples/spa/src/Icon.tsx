const ICONS = {
  check: 'M6 12.5l4 4L18 8',
  pencil: 'M4 20h4L19 9l-4-4L4 16v4z',
  bin: 'M5 7h14M10 7V4.5h4V7M7 7l1 13h8l1-13',
  search: 'M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5L20 20',
  sort: 'M8 5v14M8 19l-3-3M8 19l3-3M16 19V5M16 5l-3 3M16 5l3 3',
  pin: 'M9 4h6M10 4v6l-3 4h10l-3-4V4M12 14v6',
  note: 'M6 4h12v16H6zM9 9h6M9 13h6'
}

export const Icon = ({ name }: { name: keyof typeof ICONS }) => (
  <svg viewBox="0 0 24 24" aria-hidden="true">
    <path d={ICONS[name]} />
  </svg>
)
