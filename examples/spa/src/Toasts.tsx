import { useEffect, useRef, useState, useSyncExternalStore } from 'react'

interface Action {
  label: string
  run: () => void
}

interface Message {
  id: number
  text: string
  /** When what it announces happens, if it is a countdown. */
  until: number | undefined
  action: Action | undefined
}

const SHOWN_SECONDS = 7

/** Whoever may want to press a button has more time. */
const ACTION_SECONDS = 12

let messages: readonly Message[] = []
let count = 0
const listeners = new Set<() => void>()

function set(next: readonly Message[]) {
  messages = next
  for (const listener of listeners) listener()
}

const dismiss = (message: Message) => set(messages.filter((other) => other !== message))

function show(text: string, seconds: number, more: Partial<Message>) {
  const message = { id: count++, text, until: undefined, action: undefined, ...more }
  // Many requests may be told to wait at once; the user needs to hear it once.
  set([...messages.filter((other) => other.text !== text || other.action !== undefined), message])
  setTimeout(() => dismiss(message), seconds * 1000)
}

/** Tells the user something for a while, and what can be done about it. */
export const toast = (text: string, action?: Action) =>
  show(text, action === undefined ? SHOWN_SECONDS : ACTION_SECONDS, { action })

/** Tells the user what happens after so many seconds. */
export const countdown = (text: string, seconds: number) => show(text, seconds, { until: Date.now() + seconds * 1000 })

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
      {shown.map((message) => {
        const { id, text, until, action } = message
        const run = () => {
          dismiss(message)
          action?.run()
        }
        return (
          <div key={id} className="toast">
            <p>
              {text}
              {until && <Countdown until={until} />}
            </p>
            {action && (
              <button type="button" onClick={run}>
                {action.label}
              </button>
            )}
          </div>
        )
      })}
    </div>
  )
}
