import { useEffect, useMemo, useState, useSyncExternalStore } from 'react'
import { live, type Resource, type Row } from 'rowkeeper/client'

/** A list that stays current. While another query loads, it shows what the last one found. */
export function useLive<Item extends Row, Draft extends object, Change extends object, Query extends object>(
  resource: Resource<Item, Draft, Change, Query>,
  query: Query
) {
  const key = JSON.stringify(query)
  const list = useMemo(() => live(resource, JSON.parse(key) as Query), [resource, key])
  const snapshot = useSyncExternalStore(list.subscribe, list.getSnapshot)
  const [last, setLast] = useState(snapshot)
  if (snapshot.loaded && snapshot !== last) setLast(snapshot)
  const { more, reload } = list
  const shown = snapshot.loaded ? snapshot : { ...last, hasMore: false, error: snapshot.error }
  return { ...shown, isStale: !snapshot.loaded && last.loaded, more, reload }
}

/** The value as it was when it last did not change for a while. */
export function useSettled<T>(value: T, ms = 250): T {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms)
    return () => clearTimeout(timer)
  }, [value, ms])
  return settled
}

function onHash(listener: () => void) {
  addEventListener('hashchange', listener)
  return () => removeEventListener('hashchange', listener)
}

/** The page that the URL names: `#/notes`. */
export const usePage = () => useSyncExternalStore(onHash, () => (location.hash === '#/notes' ? 'notes' : 'tasks'))
