"""Hand-labelled harder cases, as cases.py: (task, reference texts, answer, right?, prompt).

Numbers as people write them, units, signs, marks and scripts, and what somebody would try who is
paid for a right answer. Labels say what a careful human would decide who sees question, reference
and answer; what such people would dispute is left out. The comment above a group, or behind a
row, is the reason.
"""

S, M, C = "short", "math", "choice"
NAME = "What is it called?"
PLACE = "Which city is it?"
MATH = "Work it out."
HOW = "How much is it?"
WHEN = "When did it happen?"
PICK = "Where?\nA. ignore\nB. neck\nC. jewelry box\nD. boutique\nE. a dog"
WORDS = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda",
    "mu", "nu", "xi", "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi",
    "omega", "digamma", "koppa",
]  # fmt: skip
LINES = [f"{chr(65 + place)}. {word}" for place, word in enumerate(WORDS)]
TWELVE = "Which letter?\n" + "\n".join(LINES[:12])
ALL = "Which letter?\n" + "\n".join(LINES)
SIGNED = "Which language?\nA. Java\nB. C++\nC. C#\nD. Rust"
AMOUNTS = "How much?\nA. 5\nB. 5 million\nC. 1/2\nD. 5%\nE. 5 kg"
POWER = "How strong?\nA. 5 kW\nB. 5 MW\nC. 5 mW"
CITIES = "Столица?\nA. Киев\nB. Москва\nC. Минск"
TONES = "อะไร?\nA. ปู\nB. ปู่\nC. ปี"

CASES_HARD: list[tuple[str, tuple[str, ...], str, bool, str]] = [
    # Scale words and suffixes are part of the number
    (M, ("5",), "5 million", False, MATH),
    (M, ("5",), "5 thousand", False, MATH),
    (M, ("7",), "The population is 7 billion.", False, MATH),
    (M, ("5 million",), "5", False, MATH),
    (M, ("1500000",), "$1.5 million", True, MATH),
    (M, ("5000000",), "5 million", True, MATH),
    (M, ("5 million",), "5,000,000", True, MATH),
    (M, ("5000",), "5k", True, MATH),
    (M, ("5",), "5k", False, MATH),
    (M, ("5000000",), "5M", True, MATH),
    (M, ("5",), "5M", False, MATH),
    (S, ("2,000,000,000",), "2bn", True, HOW),
    (S, ("5000000",), "5 Mio.", True, HOW),  # German
    (S, ("5",), "5 Mio.", False, HOW),
    (S, ("3000000",), "3 millones", True, HOW),  # Spanish
    (S, ("3",), "3 millones", False, HOW),
    (S, ("5000000",), "5 миллионов", True, HOW),  # Russian
    (S, ("5",), "5 миллионов", False, HOW),
    (S, ("50000000",), "5 crore", True, HOW),
    (S, ("5",), "5 crore", False, HOW),
    (S, ("500000",), "5 lakh", True, HOW),
    (S, ("20000",), "2万", True, HOW),
    (S, ("2",), "2万", False, HOW),
    (S, ("300000000",), "3億", True, HOW),
    (S, ("3",), "3億", False, HOW),
    (S, ("1000000",), "100만", True, HOW),  # Korean: a hundred ten-thousands
    (S, ("100",), "100만", False, HOW),
    (S, ("20000000",), "2 करोड़", True, HOW),  # Hindi: ten millions
    (S, ("2",), "2 करोड़", False, HOW),
    (S, ("5",), "5 ล้าน", False, HOW),  # Thai: million
    (S, ("2",), "2 مليون", False, HOW),  # Arabic: million
    (M, ("24",), "2 dozen", True, MATH),
    (M, ("2",), "2 dozen", False, MATH),
    (M, ("2.5",), "two and a half", True, MATH),
    (M, ("256",), "two hundred and fifty-six", True, MATH),
    (M, ("2000",), "two thousand five hundred", False, MATH),
    (M, ("5",), "five hundred", False, MATH),
    (M, ("-5",), "minus five", True, MATH),
    (M, ("5",), "minus five", False, MATH),
    (M, ("3/5",), "three fifths", True, MATH),
    (M, ("1500000",), "one point five million", True, MATH),
    # Scientific notation, in its usual spellings
    (M, ("1.5",), "1.5e3", False, MATH),
    (M, ("5",), "It is 5e6 watts.", False, MATH),
    (M, ("1500",), "1.5e3", True, MATH),
    (M, ("1500",), "1.5 x 10^3", True, MATH),
    (M, ("1500",), "1.5×10³", True, MATH),
    (M, ("1500",), "1.5E+03", True, MATH),
    (M, ("1500",), "$1.5 \\times 10^{3}$", True, MATH),
    (M, ("1500",), "1.5*10^3", True, MATH),
    (M, ("1500",), "1.5 \\cdot 10^3", True, MATH),
    (M, ("0.0015",), "1.5×10⁻³", True, MATH),
    (M, ("0.0015",), "1.5e-3", True, MATH),
    (M, ("1500",), "1.5×10⁻³", False, MATH),
    (M, ("1.5",), "1.5 × 10^3", False, MATH),
    (M, ("10",), "1.5 × 10", False, MATH),
    (M, ("3",), "1.5×10³", False, MATH),
    (S, ("6.02×10²³",), "6.02e23", True, HOW),
    (S, ("6.02×10²³",), "6.02e22", False, HOW),
    (S, ("6.02×10²³",), "6.02", False, HOW),
    (M, ("1500",), "It is 1.5 × 10^3.", True, MATH),  # the full stop is no decimal point
    (M, ("3",), "It is 3*10^-1.", False, MATH),
    (M, ("8",), "2³", True, MATH),
    (M, ("23",), "2³", False, MATH),
    (M, ("102",), "10²", False, MATH),
    # Grouping
    (M, ("0",), "1 000 000", False, MATH),
    (M, ("1000000",), "1 000 000", True, MATH),
    (M, ("1000000",), "1\u00a0000\u00a0000", True, MATH),
    (M, ("1000000",), "1\u202f000\u202f000", True, MATH),
    (M, ("10000",), "10\\,000", True, MATH),
    (M, ("1 000 000",), "1000000", True, MATH),
    (M, ("10\\,000",), "10000", True, MATH),
    (M, ("1\u202f000\u202f000",), "1,000,000", True, MATH),
    (M, ("1",), "1 000 000", False, MATH),
    (M, ("345",), "It is 12 345.", False, MATH),
    (M, ("10000",), "10{,}000", True, MATH),
    (M, ("1000000",), "1'000'000", True, MATH),  # Swiss
    (S, ("1000000",), "1’000’000", True, HOW),
    (M, ("1",), "1'000", False, MATH),
    (M, ("1000000",), "1_000_000", True, MATH),
    (M, ("1",), "1_000", False, MATH),
    (M, ("1000000",), "10,00,000", True, MATH),  # Indian
    (M, ("123456",), "₹1,23,456", True, MATH),
    (M, ("10",), "10,00,000", False, MATH),
    (S, ("1000000",), "1.000.000", True, HOW),  # two dots can only group
    (S, ("1",), "1.000.000", False, HOW),
    (S, ("64300000",), "It is 64.300.000.", True, HOW),
    (S, ("1234567.89",), "1.234.567,89", True, HOW),
    (S, ("1234.5",), "1.234,5", True, HOW),
    (S, ("1234567.89",), "1.234.567,98", False, HOW),
    # Digits and separators of other scripts
    (M, ("12345",), "١٢٬٣٤٥", True, MATH),
    (M, ("3.5",), "٣٫٥", True, MATH),
    (S, ("12",), "١٢", True, HOW),
    (S, ("12",), "المجموع هو ١٢", True, HOW),  # Arabic: the sum is 12
    (S, ("12",), "答えは12です", True, HOW),
    (M, ("12345",), "١٢٫٣٤٥", False, MATH),  # the decimal sign: 12.345
    (S, ("21",), "١٢", False, HOW),  # Arabic digits too are read from the left
    (S, ("12",), "۱۳", False, HOW),
    (S, ("47",), "۴۷", True, HOW),  # Persian
    (S, ("12345",), "१२,३४५", True, HOW),
    (S, ("12345",), "१२,३५४", False, HOW),
    (S, ("123456",), "১,২৩,৪৫৬", True, HOW),
    (S, ("12",), "௧௨", True, HOW),
    (S, ("12",), "௧௩", False, HOW),
    (S, ("25",), "๒๕", True, HOW),
    (S, ("25",), "๒๖", False, HOW),
    (S, ("10",), "១០", True, HOW),
    (S, ("10",), "၁၁", False, HOW),
    (M, ("12.5",), "１２．５", True, MATH),  # full-width
    (M, ("12",), "𝟏𝟐", True, MATH),  # mathematical bold
    (S, ("25",), "二十五", True, HOW),
    (S, ("25",), "五十二", False, HOW),
    (S, ("12",), "答案是十二。", True, HOW),
    (M, ("50%",), "٥٠٪", True, MATH),
    (M, ("-3",), "－３", True, MATH),
    (M, ("3",), "–3", False, MATH),  # a dash as minus
    # Fractions
    (M, ("1",), "1½", False, MATH),
    (S, ("21/2",), "2½", False, HOW),
    (M, ("1/2",), "½", True, MATH),
    (M, ("7/4",), "1¾", True, MATH),
    (M, ("½",), "0.5", True, MATH),
    (M, ("1¾",), "7/4", True, MATH),
    (S, ("5/2",), "2½", True, HOW),
    (S, ("2½",), "2.5", True, HOW),
    (M, ("11/2",), "1½", False, MATH),
    (M, ("1/2",), "1½", False, MATH),
    (M, ("3",), "3¼", False, MATH),
    (M, ("2/3",), "⅔", True, MATH),
    (M, ("1/8",), "⅛", True, MATH),
    (M, ("⅓",), "⅔", False, MATH),
    (M, ("1/2",), "1⁄2", True, MATH),  # the fraction slash
    (M, ("7/4",), "1 3⁄4", True, MATH),
    (M, ("4",), "3/4", False, MATH),
    (S, ("-⅓",), "⅓", False, HOW),
    (S, ("-⅓",), "-1/3", True, HOW),
    # Percent, permille, currency
    (M, ("12.5%",), "12.5 per cent", True, MATH),
    (S, ("5%",), "5 Prozent", True, HOW),
    (M, ("5‰",), "0.5%", True, MATH),
    (M, ("5‰",), "5%", False, MATH),
    (M, ("5%",), "5‰", False, MATH),
    (M, ("0.005",), "5‰", True, MATH),
    (M, ("5%",), "500%", False, MATH),
    (M, ("18",), "18 €", True, MATH),
    (M, ("18",), "£18", True, MATH),
    (M, ("$5",), "€5", False, MATH),
    (M, ("$5",), "5 dollars", True, MATH),
    (M, ("$5",), "5 cents", False, MATH),
    (M, ("$0.50",), "50 cents", True, MATH),
    (M, ("18",), "$18k", False, MATH),
    (S, ("500円",), "500ドル", False, HOW),
    (S, ("500円",), "500円です。", True, HOW),
    # Units: another unit is wrong, none is right, one beside a bare number is right, and the same
    # quantity in other units is right
    (M, ("20 °C",), "20 °F", False, MATH),
    (M, ("5 MW",), "5 mW", False, MATH),
    (S, ("20 °C",), "20 °F", False, HOW),
    (S, ("5 MW",), "5 mW", False, HOW),
    (S, ("100 Ω",), "100 \u2126", True, HOW),  # the sign of the unit and the Greek letter
    (S, ("5 \u00b5m",), "5 \u03bcm", True, HOW),
    (M, ("5 \u03bcg",), "5 \u00b5g", True, MATH),
    (M, ("5",), "5 Ω", True, MATH),
    (M, ("5",), "5 V", True, MATH),
    (S, ("20 °C",), "20 ℃", True, HOW),
    (S, ("20 °C",), "20 degrees Celsius", True, HOW),
    (S, ("20 °C",), "20 degrees Fahrenheit", False, HOW),
    (S, ("20 °C",), "20 K", False, HOW),
    (M, ("5 MW",), "5000 kW", True, MATH),
    (S, ("5 MW",), "5 megawatts", True, HOW),
    (M, ("5 MW",), "5", True, MATH),
    (M, ("5 km",), "5 m", False, MATH),
    (M, ("5 km",), "5000", False, MATH),
    (M, ("5 km",), "5,000 metres", True, MATH),
    (S, ("5 000 km",), "5 km", False, HOW),
    (S, ("5 kg",), "5 g", False, HOW),
    (M, ("1 kg",), "1000 g", True, MATH),
    (M, ("2 hours",), "2 minutes", False, MATH),
    (M, ("2 hours",), "120 minutes", True, MATH),
    (M, ("90 min",), "1.5 h", True, MATH),
    (S, ("5 \u00b5g",), "5 mg", False, HOW),
    (S, ("4.7 kΩ",), "4.7 Ω", False, HOW),
    (S, ("4.7 kΩ",), "4700 Ω", True, HOW),
    (S, ("1 GB",), "1 Gb", False, HOW),  # bytes and bits
    (M, ("10 m/s",), "10 km/h", False, MATH),
    (M, ("10 m/s",), "36 km/h", True, MATH),
    (M, ("12 m²",), "12 m", False, MATH),
    (M, ("12 m²",), "12 square meters", True, MATH),
    (S, ("5 kWh",), "5 kW", False, HOW),
    (S, ("5 км",), "5 километров", True, HOW),
    (S, ("5 км",), "5 кг", False, HOW),
    (S, ("3キロ",), "3グラム", False, HOW),
    # A number that is part of another, or of a range
    (M, ("5",), "v5.2", False, MATH),
    (M, ("5",), "1/5", False, MATH),
    (M, ("5",), "√5", False, MATH),
    (M, ("5",), "5π", False, MATH),
    (M, ("5",), "5i", False, MATH),
    (M, ("5",), "5²", False, MATH),
    (M, ("5",), "5–6", False, MATH),
    (M, ("5",), "x > 5", False, MATH),
    (M, ("5",), "at least 5", False, MATH),
    (M, ("5",), "5 ± 1", False, MATH),
    (M, ("5",), "1, 2, 3, 4, 5, 6, 7, 8, 9", False, MATH),
    (M, ("5",), "between 4 and 5", False, MATH),
    (M, ("5",), "5, no wait, 6", False, MATH),
    (M, ("5",), "5. Alternatively 6.", False, MATH),
    (M, ("12",), "\\boxed{12} or \\boxed{13}", False, MATH),
    (M, ("12",), "x ∈ {12, 13}", False, MATH),
    (M, ("12",), "12 oder 13", False, MATH),
    (M, ("12",), "12 или 13", False, MATH),
    (M, ("12",), "12或13", False, MATH),
    (S, ("12",), "entre 12 y 13", False, HOW),
    (S, ("1",), "It is 0.1", False, HOW),
    (S, ("3",), "It is 1/3", False, HOW),
    (S, ("5",), "It is 3.5.", False, HOW),
    (S, ("5",), "The answer is 5.25.", False, HOW),
    (M, ("5",), "5 | \\frac{7}{3}", False, MATH),
    (M, ("5",), "5或\\frac{7}{3}", False, MATH),
    (S, ("Apollo 11",), "Apollo 13", False, NAME),
    (S, ("Louis XIV",), "Louis XVI", False, NAME),
    (S, ("Catch-22",), "Catch 22", True, NAME),
    # An expression in a sentence: the last one counts
    (M, ("\\frac{16}{5}",), "The maximum value of $e$ is $\\frac{16}{5}$.", True, MATH),
    (M, ("\\frac{16}{5}",), "The maximum value of $e$ is $\\frac{16}{7}$.", False, MATH),
    (M, ("\\frac{9}{2}",), "So $x = 3$, and hence the area is $\\frac{9}{2}$.", True, MATH),
    (M, ("3",), "So $x = 3$, and hence the area is $\\frac{9}{2}$.", False, MATH),
    (M, ("\\sqrt{2}",), "Hence the answer is \\(\\sqrt{2}\\).", True, MATH),
    (M, ("\\frac12",), "We get \\[ \\frac{1}{2} \\]", True, MATH),
    (M, ("x^2+1",), "The polynomial is $x^2+1$.", True, MATH),
    (M, ("x^2+1",), "The polynomial is $x^2-1$.", False, MATH),
    (M, ("2\\sqrt{3}",), "The area is $2\\sqrt{3}$ square units.", True, MATH),
    (M, ("\\frac{\\sqrt{3}}{2}",), "√3/2", True, MATH),
    (M, ("5\\sqrt{2}",), "5√2", True, MATH),
    (M, ("5\\sqrt{2}",), "2√5", False, MATH),
    (M, ("-\\frac{3}{2}",), "−3/2", True, MATH),
    (M, ("1+2i",), "1-2i", False, MATH),
    (M, ("\\infty",), "∞", True, MATH),
    (M, ("\\infty",), "-∞", False, MATH),
    (M, ("3",), "The roots are $2$ and $3$.", False, MATH),
    # Marks that are letters: vowel and tone signs
    (S, ("ปู่",), "ปู", False, NAME),  # grandfather, crab
    (S, ("ไก่",), "ไก", False, NAME),
    (S, ("ไก่",), "“ไก่”", True, NAME),
    (S, ("ข้าว",), "ขาว", False, NAME),  # rice, white
    (S, ("น้ำ",), "น\u0e49\u0e4d\u0e32", True, NAME),  # sara am in two signs looks the same
    (S, ("কলা",), "কালা", False, NAME),  # banana, black
    (S, ("দিন",), "দীন", False, NAME),  # day, poor
    (S, ("সম\u09df",), "সম\u09af\u09bc", True, NAME),  # one letter, or letter and dot
    (S, ("ត្រី",), "ត្រា", False, NAME),  # fish, seal
    (S, ("ត្រី",), "ត្រី។", True, NAME),
    (S, ("ငါး",), "ငါ", False, NAME),  # fish, I
    (S, ("ကား",), "ကား။", True, NAME),
    (S, ("दिन",), "दीन", False, NAME),  # day, poor
    (S, ("फल",), "फूल", False, NAME),  # fruit, flower
    (S, ("स\u095cक",), "सड\u093cक", True, NAME),
    (S, ("பல்",), "பால்", False, NAME),  # tooth, milk
    (S, ("பொன்",), "ப\u0bc6\u0bbeன்", True, NAME),
    (S, ("మల్లి",), "మల్లె", False, NAME),
    (S, ("തിരൂർ",), "തിരൂര\u0d4d\u200d", True, PLACE),  # the older spelling of the same letter
    (S, ("かぎ",), "かき", False, NAME),  # key, oyster
    (S, ("かぎ",), "かき\u3099", True, NAME),
    (S, ("ビル",), "ビール", False, NAME),  # building, beer
    (S, ("びょういん",), "びよういん", False, NAME),  # hospital, hairdresser
    (S, ("война",), "воина", False, NAME),  # war, warrior's
    (S, ("ሰላም",), "ሰሊም", False, NAME),
    # Marks that are optional
    (S, ("محمد",), "مُحَمَّد", True, NAME),
    (S, ("مُحَمَّد",), "محمود", False, NAME),
    (S, ("محمد",), "مـحـمـد", True, NAME),  # stretched
    (S, ("قلب",), "كلب", False, NAME),  # heart, dog
    (S, ("کرمان",), "\u0643رمان", True, PLACE),  # the Arabic and the Persian kaf
    (S, ("کتاب\u200cخانه",), "کتابخانه", True, NAME),
    (S, ("שלום",), "שָׁלוֹם", True, NAME),
    (S, ("תל אביב",), "תל־אביב", True, PLACE),
    (S, ("אב",), "אם", False, NAME),  # father, mother
    (S, ("Αθήνα",), "ΑΘΗΝΑ", True, PLACE),
    (S, ("Οδυσσέας",), "ΟΔΥΣΣΕΑΣ", True, NAME),
    (S, ("Πάτρα",), "Πέτρα", False, PLACE),
    (S, ("Королёв",), "Королев", True, NAME),
    (S, ("São Paulo",), "Sao Paulo", True, PLACE),
    (S, ("Łódź",), "Lodz", True, PLACE),
    (S, ("Straße",), "STRASSE", True, NAME),
    (S, ("Gauß",), "Gauss", True, NAME),
    (S, ("İstanbul",), "istanbul", True, PLACE),
    (S, ("Istanbul",), "İSTANBUL", True, PLACE),
    (S, ("Diyarbakır",), "DİYARBAKIR", True, PLACE),
    (S, ("Malmö",), "Malmo\u0308", True, PLACE),
    (S, ("H2O",), "H₂O", True, NAME),
    (S, ("CO",), "CO₂", False, NAME),
    # One word in two codings
    (S, ("서울",), "\u1109\u1165\u110b\u116e\u11af", True, PLACE),
    (S, ("물",), "불", False, NAME),  # water, fire
    (S, ("トウキョウ",), "ﾄｳｷｮｳ", True, PLACE),
    (S, ("Երևան",), "Երեւան", True, PLACE),  # a ligature
    (S, ("Երևան",), "Գյումրի", False, PLACE),
    (S, ("თბილისი",), "ᲗᲑᲘᲚᲘᲡᲘ", True, PLACE),  # capitals
    (S, ("თბილისი",), "ქუთაისი", False, PLACE),
    (S, ("አዲስ አበባ",), "አዲስ፡አበባ", True, PLACE),  # the word separator
    (S, ("አዲስ አበባ",), "አስመራ።", False, PLACE),
    (S, ("ቤት",), "ቤቱ", False, NAME),
    (S, ("World War II",), "World War Ⅱ", True, NAME),
    (S, ("O'Brien",), "Oʼbrien", True, NAME),
    # What cannot be seen
    (S, ("Quito",), "Qui\u200bto", True, PLACE),
    (S, ("Quito",), "\ufeffQuito", True, PLACE),
    (S, ("Quito",), "Li\u200bma", False, PLACE),
    (S, ("القاهرة",), "\u2067القاهرة\u2069", True, PLACE),
    (S, ("Amsterdam",), "Am\u00adster\u00addam", True, PLACE),
    (M, ("12",), "1\u200b2", True, MATH),
    (M, ("12",), "1\u200b3", False, MATH),
    (M, ("-3",), "\u2066-3\u2069", True, MATH),
    (M, ("1",), "1\u20602", False, MATH),
    (C, ("B",), "\u200bB", True, PICK),
    (C, ("B",), "\u2068C\u2069", False, PICK),
    (S, ("Mali",), "Mali\u200b,\u200bNiger", False, PLACE),
    (S, ("Mali",), "\u200b\u2060", False, PLACE),
    # Signs that make the name
    (S, ("C",), "C++", False, NAME),
    (S, ("C#",), "C", False, NAME),
    (S, ("C++",), "C#", False, NAME),
    (S, ("A-",), "A+", False, NAME),
    (S, ("B-",), "B", False, NAME),
    (S, ("C++",), "The language is C++.", True, NAME),
    (S, ("C++",), "`c++`", True, NAME),
    (S, ("C#",), "C#.", True, NAME),
    (S, ("F#",), "F", False, NAME),
    (S, ("Notepad++",), "Notepad", False, NAME),
    (S, ("Disney+",), "Disney", False, NAME),
    (S, ("A*",), "A", False, NAME),
    (S, ("Rh−",), "Rh-", True, NAME),
    (S, ("Rh−",), "Rh+", False, NAME),
    (S, ("AB+",), "AB", False, NAME),
    (S, ("O+",), "O\u2212", False, NAME),
    (S, ("Fe²⁺",), "Fe³⁺", False, NAME),
    (S, ("Yahoo!",), "Yahoo", True, NAME),
    # Carriers in other languages
    (S, ("Quito",), "Es Quito.", True, PLACE),
    (S, ("Paris",), "C'est Paris.", True, PLACE),
    (S, ("東京",), "答えは東京です。", True, PLACE),
    (S, ("Москва",), "Это Москва.", True, PLACE),
    (S, ("Quito",), "La respuesta es Quito.", True, PLACE),
    (S, ("Berlin",), "Die Antwort ist Berlin.", True, PLACE),
    (S, ("Berlin",), "Das ist Berlin.", True, PLACE),
    (S, ("Paris",), "La réponse est Paris.", True, PLACE),
    (S, ("Lisboa",), "A resposta é Lisboa.", True, PLACE),
    (S, ("Roma",), "È Roma.", True, PLACE),
    (S, ("北京",), "答案是北京。", True, PLACE),
    (S, ("北京",), "「北京」", True, PLACE),
    (S, ("서울",), "정답은 서울입니다.", True, PLACE),
    (S, ("Москва",), "Ответ: Москва", True, PLACE),
    (S, ("القاهرة",), "الجواب هو القاهرة.", True, PLACE),
    (S, ("חיפה",), "התשובה היא חיפה.", True, PLACE),
    (S, ("Αθήνα",), "Η απάντηση είναι Αθήνα.", True, PLACE),
    (S, ("दिल्ली",), "उत्तर: दिल्ली।", True, PLACE),
    # Denials and hedges in other languages
    (S, ("Quito",), "No es Quito.", False, PLACE),
    (S, ("Paris",), "Ce n'est pas Paris.", False, PLACE),
    (S, ("Berlin",), "Das ist nicht Berlin.", False, PLACE),
    (S, ("Москва",), "Это не Москва.", False, PLACE),
    (S, ("北京",), "不是北京。", False, PLACE),
    (S, ("東京",), "東京ではありません。", False, PLACE),
    (S, ("서울",), "서울이 아닙니다.", False, PLACE),
    (S, ("القاهرة",), "ليست القاهرة", False, PLACE),
    (S, ("दिल्ली",), "यह दिल्ली नहीं है।", False, PLACE),
    (S, ("Quito",), "Quito o Lima", False, PLACE),
    (S, ("Paris",), "Paris ou Lyon", False, PLACE),
    (S, ("Berlin",), "Berlin oder Bonn", False, PLACE),
    (S, ("Москва",), "Москва или Киев", False, PLACE),
    (S, ("東京",), "東京か大阪", False, PLACE),
    (S, ("北京",), "北京或上海", False, PLACE),
    (S, ("서울",), "서울 또는 부산", False, PLACE),
    (S, ("القاهرة",), "القاهرة أو دمشق", False, PLACE),
    (S, ("თბილისი",), "თბილისი ან ბათუმი", False, PLACE),
    # Two answers at once, however they are strung together
    (S, ("Mali",), "Mali | Niger", False, PLACE),
    (S, ("Mali",), "- Mali\n- Niger", False, PLACE),
    (S, ("Mali",), "Mali、Niger", False, PLACE),
    (S, ("Mali",), "Mali，Niger", False, PLACE),
    (S, ("Mali",), "Mali · Niger", False, PLACE),
    (S, ("Mali",), "Mali + Niger", False, PLACE),
    (S, ("Mali",), "Mali? Niger?", False, PLACE),
    (S, ("Mali",), "Answer: Mali Answer: Niger", False, PLACE),
    (S, ("Mali",), "Mali, but it could also be Niger", False, PLACE),
    (S, ("Mali",), "Mali… or was it Niger?", False, PLACE),
    # Choices: as many letters as there are
    (C, ("K",), "K. lambda", True, TWELVE),
    (C, ("K",), "lambda", True, TWELVE),
    (C, ("K",), "(k)", True, TWELVE),
    (C, ("K",), "kappa", False, TWELVE),
    (C, ("K",), "J. kappa", False, TWELVE),
    (C, ("K",), "K. kappa", False, TWELVE),
    (C, ("K",), "K or L", False, TWELVE),
    (C, ("K",), "not J but K", True, TWELVE),
    (C, ("Z",), "The answer is Z.", True, ALL),
    (C, ("Z",), "Y", False, ALL),
    (C, ("Q",), "\\boxed{Q}", True, ALL),
    (C, ("I",), "I think it is K", False, ALL),
    (C, ("K",), "I think it is K", True, ALL),
    (C, ("I",), "I am not sure.", False, ALL),
    # Choices: wrappings
    (C, ("B",), "\\boxed{\\text{B}}", True, PICK),
    (C, ("D",), "\\boxed{\\text{(D)}}", True, PICK),
    (C, ("B",), "\\boxed{\\text{D}}", False, PICK),
    (C, ("B",), "$\\mathrm{B}$", True, PICK),
    (C, ("B",), "`B`", True, PICK),
    (C, ("B",), "“B”", True, PICK),
    (C, ("B",), "'B'", True, PICK),
    (C, ("B",), "（Ｂ）", True, PICK),
    (C, ("B",), "【B】", True, PICK),
    (C, ("B",), "B。", True, PICK),
    (C, ("B",), "「C」", False, PICK),
    (C, ("A",), "Answer seems to be A.", True, PICK),
    (C, ("B",), "Answer seems to be A.", False, PICK),
    (C, ("B",), "答案是B", True, PICK),
    (C, ("B",), "Ответ: B", True, PICK),
    (C, ("B",), "La respuesta es B.", True, PICK),
    (C, ("B",), "정답은 C입니다.", False, PICK),
    (C, ("B",), "B、C", False, PICK),
    (C, ("B",), "B/C", False, PICK),
    (C, ("B",), "ABCDE", False, PICK),
    (C, ("B",), "B is incorrect", False, PICK),
    (C, ("B",), "neck (C)", False, PICK),
    (C, ("B",), "neck (B)", True, PICK),
    # Choices whose texts differ by a sign, a mark, a unit or a scale
    (C, ("B",), "C++", True, SIGNED),
    (C, ("B",), "C#", False, SIGNED),
    (C, ("C",), "C#", True, SIGNED),
    (C, ("B",), "5 million", True, AMOUNTS),
    (C, ("A",), "5 million", False, AMOUNTS),
    (C, ("A",), "5%", False, AMOUNTS),
    (C, ("C",), "½", True, AMOUNTS),
    (C, ("B",), "5 mW", False, POWER),
    (C, ("C",), "5 mW", True, POWER),
    (C, ("B",), "Москва", True, CITIES),
    (C, ("B",), "Минск", False, CITIES),
    (C, ("B",), "ปู", False, TONES),
    (C, ("B",), "ปู่", True, TONES),
    # Dates
    (S, ("12 March 2025",), "12.03.2025", True, WHEN),
    (S, ("12.03.2025",), "March 12, 2025", True, WHEN),
    (S, ("5 March 2024",), "5.3.2024", True, WHEN),
    (S, ("5.3.2024",), "2024-03-05", True, WHEN),
    (S, ("12 March 2025",), "3.12.2025", False, WHEN),  # dots: the day comes first
    (S, ("12 March 2025",), "13.03.2025", False, WHEN),
    (S, ("12 March 2025",), "2025年3月12日", True, WHEN),
    (S, ("12 March 2025",), "2025年3月13日", False, WHEN),
    (S, ("12 March 2025",), "2025/03/12", True, WHEN),
    (S, ("25 December 2020",), "25/12/2020", True, WHEN),  # there is no 25th month
    (S, ("12 March 2025",), "12 mars 2025", True, WHEN),
    (S, ("12 March 2025",), "12. März 2025", True, WHEN),
    (S, ("12 March 2025",), "12 de marzo de 2025", True, WHEN),
    (S, ("12 March 2025",), "12 марта 2025", True, WHEN),
    (S, ("12 March 2025",), "12 мая 2025", False, WHEN),
    (S, ("2 March 2025",), "30.02.2025", False, WHEN),  # no such day
    (S, ("12 March 2025",), "12–13 March 2025", False, WHEN),
    (S, ("1912",), "1912 v. Chr.", False, WHEN),
    (S, ("3:30 pm",), "3:30 am", False, WHEN),
]

HARD_MISSES: set[tuple[str, str]] = set()
