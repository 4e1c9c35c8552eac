const ICONS = {
  check: 'M6 12.5l4 4L18 8',
  pencil: 'M4 20h4L19 9l-4-4L4 16v4z',
  bin: 'M5 7h14M10 7V4.5h4V7M7 7l1 13h8l1-13'
}

export const Icon = ({ name }: { name: keyof typeof ICONS }) => (
  <svg viewBox="0 0 24 24" aria-hidden="true">
    <path d={ICONS[name]} />
  </svg>
)
