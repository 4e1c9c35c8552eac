import { useEffect, useRef, useState, useSyncExternalStore } from 'react'

interface Message {
  id: number
  text: string
  /** When what it announces happens, if it is a countdown. */
  until: number | undefined
}

const SHOWN_SECONDS = 7

let messages: readonly Message[] = []
let count = 0
const listeners = new Set<() => void>()

function set(next: readonly Message[]) {
  messages = next
  for (const listener of listeners) listener()
}

/**
 * Tells the user something, for a while.
 *
 * @param seconds makes it a countdown: `text` is what happens after so many
 */
export function toast(text: string, seconds?: number) {
  const message = { id: count++, text, until: seconds && Date.now() + seconds * 1000 }
  // Many requests may be told to wait at once; the user needs to hear it once.
  set([...messages.filter((other) => other.text !== text), message])
  setTimeout(() => set(messages.filter((other) => other !== message)), (seconds ?? SHOWN_SECONDS) * 1000)
}

function Countdown({ until }: { until: number }) {
  const left = () => Math.max(0, Math.ceil((until - Date.now()) / 1000))
  const [seconds, setSeconds] = useState(left)
  useEffect(() => {
    const timer = setInterval(() => setSeconds(left), 250)
    return () => clearInterval(timer)
  })
  // A screen reader hears the message once, not every second.
  return <span aria-hidden="true"> in {seconds} s</span>
}

export function Toasts() {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    () => messages
  )
  const region = useRef<HTMLDivElement>(null)
  // Shown anew, a popover is on top of every dialog.
  useEffect(() => {
    region.current?.hidePopover()
    if (shown.length > 0) region.current?.showPopover()
  }, [shown])
  return (
    <div ref={region} className="toasts" popover="manual" role="status" aria-live="polite">
      {shown.map(({ id, text, until }) => (
        <p key={id}>
          {text}
          {until && <Countdown until={until} />}
        </p>
      ))}
    </div>
  )
}
