import fp from 'fastify-plugin'
import type { Bodies, Declaration } from '../src/resource/declaration.ts'
import { Store } from '../src/resource/store.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Returns the store of a resource (`src/resource/store.ts`). The statements of each are prepared once. */
    store<New extends object, Change extends object>(declaration: Declaration & Bodies<New, Change>): Store<New, Change>
  }
}

/** Makes the stores of the resources. */
export default fp(
  async (app) => {
    const stores = new Map<object, unknown>()
    app.decorate(
      'store',
      <New extends object, Change extends object>(declaration: Declaration & Bodies<New, Change>) => {
        const store = (stores.get(declaration) as Store<New, Change> | undefined) ?? new Store(app.owned, declaration)
        stores.set(declaration, store)
        return store
      }
    )
  },
  { name: 'stores', dependencies: ['database'] }
)
