/** Small word lists that make rows look like a contact platform's. All names are made up. */

/** Tenants of the rows and of the shop's orders. */
export const TENANTS = ['acme', 'globex', 'initech', 'umbrella', 'hooli'] as const;

export const FIRST_NAMES = [
  'Ada',
  'Alan',
  'Amina',
  'Björn',
  'Chiara',
  'Dmitri',
  'Edsger',
  'Emeka',
  'Fatima',
  'Grace',
  'Hana',
  'Ingrid',
  'Jean',
  'José',
  'Katherine',
  'Leslie',
  'Linh',
  'Margaret',
  'Mei',
  'Niklaus',
  'Olu',
  'Priya',
  'Radia',
  'Søren',
  'Tim',
  'Yuki',
  'Zoë',
] as const;

export const LAST_NAMES = [
  'Adeyemi',
  'Bernal',
  'Cerf',
  'Dijkstra',
  'Fernández',
  'Goldberg',
  'Hamilton',
  'Hopper',
  'Iversen',
  'Johnson',
  'Kowalski',
  'Lamport',
  'Liskov',
  'Müller',
  'Nguyễn',
  'O’Neill',
  'Patel',
  'Perlman',
  'Rossi',
  'Sato',
  'Tanaka',
  'Turing',
  'Wirth',
  'Yilmaz',
  'Zhang',
] as const;

export const COMPANY_FIRST = [
  'Amber',
  'Blue',
  'Bright',
  'Cedar',
  'Copper',
  'Delta',
  'Ember',
  'Granite',
  'Harbor',
  'Lumen',
  'Maple',
  'North',
  'Orchid',
  'Pine',
  'Quartz',
  'River',
  'Silver',
  'Summit',
  'Vector',
  'Willow',
] as const;

export const COMPANY_SECOND = [
  'Analytics',
  'Bakery',
  'Capital',
  'Dynamics',
  'Energy',
  'Foods',
  'Freight',
  'Health',
  'Labs',
  'Logistics',
  'Media',
  'Motors',
  'Robotics',
  'Software',
  'Studios',
  'Systems',
  'Textiles',
  'Travel',
] as const;

export const INDUSTRIES = [
  'energy',
  'finance',
  'food',
  'health',
  'logistics',
  'media',
  'software',
] as const;

export const TAGS = [
  'beta',
  'churn-risk',
  'customer',
  'lead',
  'newsletter',
  'partner',
  'trial',
  'vip',
] as const;

export const EVENT_KINDS = [
  'login',
  'api_call',
  'data_uploaded',
  'email_opened',
  'email_clicked',
  'page_viewed',
  'import_completed',
] as const;

export const PRODUCTS = [
  { sku: 'TEA-01', title: 'Green tea, 250 g', cents: 1_290 },
  { sku: 'MUG-07', title: 'Stoneware mug', cents: 1_850 },
  { sku: 'KET-02', title: 'Kettle, 1.2 l', cents: 6_400 },
  { sku: 'HON-03', title: 'Forest honey', cents: 990 },
  { sku: 'BOX-11', title: 'Gift box', cents: 3_200 },
] as const;

export const CURRENCIES = ['EUR', 'GBP', 'JPY', 'USD'] as const;

/** What no validator takes as an e-mail address. */
export const BROKEN_EMAILS = [
  'no-at-sign.example.com',
  'two@@example.com',
  'spaces in@example.com',
  '',
  null,
] as const;

/** Not E.164: no country, letters, too long. */
export const BROKEN_PHONES = ['555-0199', '+49 call me', '+1234567890123456789'] as const;
