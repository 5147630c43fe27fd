type Fields = Readonly<Record<string, unknown>>;

function tenantIn(fields: unknown): string | undefined {
  if (typeof fields !== 'object' || fields === null) return undefined;
  const tenant = (fields as Fields)['tenant_id'];
  return typeof tenant === 'string' ? tenant : undefined;
}

/**
 * Whose a value is: its `tenant_id`, or that of the row in Debezium's envelope. A change that takes a row from one tenant to
 * another shows both, so it is neither's.
 */
export function tenantOf(value: unknown): string | undefined {
  const own = tenantIn(value);
  if (own !== undefined || typeof value !== 'object' || value === null) return own;
  const { before, after } = value as Fields;
  const tenants = [before, after].filter((row) => row != null).map(tenantIn);
  return tenants.every((tenant) => tenant === tenants[0]) ? tenants[0] : undefined;
}
