"""市立医院: departments, doctors, patients, visits; full-width brackets in names."""

from __future__ import annotations

from scripts.sample.model import Domain, Entity, Rel, Rows, cat, day, name, num, script, text, year
from scripts.sample.values import CITIES, Rng

SCHEMA = """
CREATE TABLE 科室 (
    科室编号 INTEGER PRIMARY KEY,
    科室名称 TEXT NOT NULL,
    楼层 INTEGER, -- 门诊楼几层
    "床位（张）" INTEGER,
    成立年份 INTEGER
);
CREATE TABLE 医生 (
    医生编号 INTEGER PRIMARY KEY,
    姓名 TEXT NOT NULL,
    性别 TEXT,
    职称 TEXT, -- 主任医师、副主任医师、主治医师、住院医师
    "挂号费（元）" INTEGER,
    从业年限 INTEGER,
    科室编号 INTEGER NOT NULL,
    FOREIGN KEY (科室编号) REFERENCES 科室(科室编号)
);
CREATE TABLE 患者 (
    病历号 TEXT PRIMARY KEY,
    姓名 TEXT NOT NULL,
    性别 TEXT,
    年龄 INTEGER,
    所在城市 TEXT,
    医保类型 TEXT,
    过敏史 TEXT -- 没有则为空
);
CREATE TABLE 就诊 (
    就诊编号 INTEGER PRIMARY KEY,
    病历号 TEXT NOT NULL,
    医生编号 INTEGER NOT NULL,
    就诊日期 TEXT NOT NULL,
    诊断结果 TEXT,
    "费用（元）" REAL,
    FOREIGN KEY (病历号) REFERENCES 患者(病历号),
    FOREIGN KEY (医生编号) REFERENCES 医生(医生编号)
);
"""

_DEPARTMENTS = {
    "内科": ["高血压", "胃炎", "上呼吸道感染", "糖尿病"],
    "外科": ["阑尾炎", "胆结石", "软组织损伤"],
    "儿科": ["小儿肺炎", "手足口病", "上呼吸道感染"],
    "妇产科": ["产前检查", "贫血"],
    "眼科": ["近视", "结膜炎", "白内障"],
    "口腔科": ["龋齿", "牙周炎", "智齿"],
    "皮肤科": ["湿疹", "荨麻疹", "痤疮"],
    "骨科": ["骨折", "腰椎间盘突出", "软组织损伤"],
    "神经内科": ["偏头痛", "失眠"],
    "耳鼻喉科": ["鼻炎", "中耳炎", "咽炎"],
    "中医科": ["失眠", "脾胃虚弱", "颈椎病"],
    "急诊科": ["急性肠胃炎", "外伤", "高热"],
}


def rows(rng: Rng) -> Rows:
    """12 departments, 84 doctors, 700 patients, 4,500 visits."""
    names = list(_DEPARTMENTS)
    beds, founded = rng.distinct(12, 12, 160), rng.distinct(12, 1956, 2018)
    departments = [(i + 1, n, 1 + i % 6, beds[i], founded[i]) for i, n in enumerate(names)]
    titles = [("主任医师", 2), ("副主任医师", 3), ("主治医师", 5), ("住院医师", 3)]
    fees = {"主任医师": 60, "副主任医师": 40, "主治医师": 20, "住院医师": 10}
    served = {"主任医师": 22, "副主任医师": 14, "主治医师": 7, "住院医师": 1}
    people = rng.people(784)
    doctors = []
    for i in range(84):
        title = rng.weighted(titles)
        fee, years = fees[title] + 5 * rng.below(4), served[title] + rng.below(9)
        doctors.append((201 + i, people[i], rng.pick("男女"), title, fee, years, i % 12 + 1))
    towns = [city for city, _ in CITIES[:14]]
    allergies = [None] * 6 + ["青霉素", "花粉", "海鲜", "头孢"]
    patients = [
        (
            f"P{i + 10001}",
            people[84 + i],
            rng.pick("男女"),
            rng.bell(0, 95),
            towns[min(rng.below(14), rng.below(14))],
            rng.weighted([("职工医保", 5), ("居民医保", 4), ("自费", 2), ("商业保险", 1)]),
            rng.pick(allergies),
        )
        for i in range(700)
    ]
    visits = []
    for i in range(4500):
        doctor = doctors[min(rng.below(84), rng.below(84) + 9)]
        results = _DEPARTMENTS[names[doctor[6] - 1]]
        cost = rng.between(300, 98000) / 10
        day_of = rng.day("2024-01-01", "2025-09-30")
        visits.append((i + 1, patients[rng.below(700)][0], doctor[0], day_of, rng.pick(results), cost))
    return {"科室": departments, "医生": doctors, "患者": patients, "就诊": visits}


DEPARTMENT = Entity(
    "科室",
    "个",
    name("科室名称"),
    cat("楼层", mod="在{v}楼", short="{v}楼", phrase="{v}楼的{n}", ask="{s}{d}在几楼"),
    num("床位（张）", "床位数", unit="张", adj="多少", aggs="avg sum", step=10),
    year("成立年份", "成立"),
    key="科室编号",
    rels=(Rel("医生", "科室编号"),),
)
DOCTOR = Entity(
    "医生",
    "位",
    name("姓名"),
    cat("职称", mod="职称是{v}", phrase="{v}", ask="{s}{d}是什么职称", mw="种"),
    cat("科室名称", "科室", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个科室", via="科室编号"),
    cat("性别", mod="性别为{v}", short="{v}性", phrase="{v}医生", ask="{s}{d}是男是女", mw="种"),
    num("挂号费（元）", "挂号费", unit="元", also=("挂号费最贵", "挂号费最便宜"), step=5),
    num("从业年限", unit="年", adj="长短", step=5, ask="{s}{d}从业多少年了"),
    key="医生编号",
    person=True,
    rels=(Rel("就诊记录", "医生编号", most="的就诊记录最多"),),
)
PATIENT = Entity(
    "患者",
    "名",
    name("姓名"),
    cat("医保类型", mod="医保类型是{v}", phrase="{v}{n}", ask="{s}的医保类型{d}是什么", mw="种"),
    cat("所在城市", "城市", mod="来自{v}", phrase="{v}的{n}", ask="{s}{d}来自哪个城市"),
    cat("性别", mod="性别为{v}", short="{v}性", phrase="{v}性{n}", ask="{s}{d}是男是女", mw="种"),
    num("年龄", unit="岁", adj="大小", step=5, ask="{s}{d}多大年纪"),
    text("病历号", ask="{s}的病历号{d}是多少"),
    key="病历号",
    person=True,
)
VISIT = Entity(
    "就诊记录",
    "条",
    name("就诊编号"),
    cat("诊断结果", mod="诊断为{v}", ask="{s}的诊断结果{d}是什么", mw="种"),
    cat("科室名称", "科室", mod="在{v}就诊", ask="{s}{d}是哪个科室的", via="医生编号/科室编号"),
    cat("姓名", "医生", mod="由{v}接诊", ask="{s}{d}是哪位医生接诊的", mw="位", via="医生编号"),
    num("费用（元）", "费用", unit="元", aggs="avg sum", step=100),
    day("就诊日期", "发生", ask="{s}{d}是哪天的"),
    key="就诊编号",
    table="就诊",
    lookup=False,
)

_DOCTORS = "医生 AS T1 JOIN 科室 AS T2 ON T1.科室编号 = T2.科室编号"
_VISITS = "就诊 AS T1 JOIN 患者 AS T2 ON T1.病历号 = T2.病历号"
_BUSIEST = "(SELECT 医生编号 FROM 就诊 GROUP BY 医生编号 ORDER BY COUNT(*) DESC LIMIT 1)"

SCRIPTS = (
    script(
        (
            "$a有哪些主任医师？|我想挂$a，有哪些主任医师？",
            f"SELECT T1.姓名 FROM {_DOCTORS} WHERE T2.科室名称 = $a AND T1.职称 = '主任医师'",
        ),
        (
            "他们的挂号费是多少？|挂号费分别多少？",
            f"SELECT T1.姓名, T1.\"挂号费（元）\" FROM {_DOCTORS} WHERE T2.科室名称 = $a AND T1.职称 = '主任医师'",
        ),
        (
            "有点贵，主治医师呢？|太贵了，换成主治医师看看。",
            f"SELECT T1.姓名, T1.\"挂号费（元）\" FROM {_DOCTORS} WHERE T2.科室名称 = $a AND T1.职称 = '主治医师'",
        ),
        ("这个科室在几楼？|去几楼看？", "SELECT 楼层 FROM 科室 WHERE 科室名称 = $a"),
        binds="SELECT DISTINCT T2.科室名称 FROM 医生 AS T1 JOIN 科室 AS T2 ON T1.科室编号 = T2.科室编号 "
        "WHERE T1.职称 = '主任医师'",
    ),
    script(
        (
            "$a最近一次就诊是哪天？|$a上一次来看病是什么时候？",
            f"SELECT MAX(T1.就诊日期) FROM {_VISITS} WHERE T2.姓名 = $a",
        ),
        ("他一共来过几次？|总共来过多少次？", f"SELECT COUNT(*) FROM {_VISITS} WHERE T2.姓名 = $a"),
        ("都是什么诊断？|诊断结果都有哪些？", f"SELECT DISTINCT T1.诊断结果 FROM {_VISITS} WHERE T2.姓名 = $a"),
        ("一共花了多少钱？|总费用呢？", f'SELECT SUM(T1."费用（元）") FROM {_VISITS} WHERE T2.姓名 = $a'),
        binds="SELECT T2.姓名 FROM 就诊 AS T1 JOIN 患者 AS T2 ON T1.病历号 = T2.病历号 GROUP BY T2.姓名 "
        "HAVING COUNT(*) >= 5",
    ),
    script(
        (
            "接诊次数最多的医生是谁？|哪位医生看的病人次数最多？",
            "SELECT T2.姓名 FROM 就诊 AS T1 JOIN 医生 AS T2 ON T1.医生编号 = T2.医生编号 GROUP BY T1.医生编号 "
            "ORDER BY COUNT(*) DESC LIMIT 1",
        ),
        (
            "他是哪个科室的？|在哪个科室？",
            f"SELECT T2.科室名称 FROM {_DOCTORS} WHERE T1.医生编号 = {_BUSIEST}",
        ),
        (
            "这个科室还有多少位医生？不算他。|除了他，这个科室还有几位医生？",
            f"SELECT COUNT(*) FROM 医生 WHERE 科室编号 = (SELECT 科室编号 FROM 医生 WHERE 医生编号 = {_BUSIEST}) "
            f"AND 医生编号 <> {_BUSIEST}",
        ),
    ),
    script(
        ("有多少患者对青霉素过敏？", "SELECT COUNT(*) FROM 患者 WHERE 过敏史 = '青霉素'"),
        ("对海鲜过敏的呢？|海鲜呢？", "SELECT COUNT(*) FROM 患者 WHERE 过敏史 = '海鲜'"),
        (
            "各种过敏史都统计一下，没有过敏史的不算。",
            "SELECT 过敏史, COUNT(*) FROM 患者 WHERE 过敏史 IS NOT NULL GROUP BY 过敏史",
        ),
        (
            "最多的是哪一种？|哪种最常见？",
            "SELECT 过敏史 FROM 患者 WHERE 过敏史 IS NOT NULL GROUP BY 过敏史 ORDER BY COUNT(*) DESC LIMIT 1",
        ),
        ("那没有过敏史的有多少人？", "SELECT COUNT(*) FROM 患者 WHERE 过敏史 IS NULL"),
        fresh=(4,),
    ),
    script(
        ("60岁以上的患者有多少名？", "SELECT COUNT(*) FROM 患者 WHERE 年龄 >= 60"),
        ("60到70岁之间的呢？|只算60到70岁的呢？", "SELECT COUNT(*) FROM 患者 WHERE 年龄 BETWEEN 60 AND 70"),
        (
            "其中自费的有几名？|里面自费的有多少？",
            "SELECT COUNT(*) FROM 患者 WHERE 年龄 BETWEEN 60 AND 70 AND 医保类型 = '自费'",
        ),
        ("列出他们的姓名和年龄。", "SELECT 姓名, 年龄 FROM 患者 WHERE 年龄 BETWEEN 60 AND 70 AND 医保类型 = '自费'"),
    ),
    script(
        (
            "$a相关的就诊一共多少条？|诊断为$a的就诊有多少条？",
            "SELECT COUNT(*) FROM 就诊 WHERE 诊断结果 = $a",
        ),
        ("平均费用是多少？|平均要花多少钱？", 'SELECT AVG("费用（元）") FROM 就诊 WHERE 诊断结果 = $a'),
        ("$b呢？|那$b的呢？", 'SELECT AVG("费用（元）") FROM 就诊 WHERE 诊断结果 = $b'),
        (
            "两者的费用最高各是多少？|它们俩的最高费用分别是多少？",
            'SELECT 诊断结果, MAX("费用（元）") FROM 就诊 WHERE 诊断结果 IN ($a, $b) GROUP BY 诊断结果',
        ),
        binds="VALUES ('鼻炎', '咽炎'), ('龋齿', '牙周炎'), ('湿疹', '痤疮'), ('近视', '结膜炎')",
    ),
)

DOMAIN = Domain("市立医院", "train", SCHEMA, rows, (DEPARTMENT, DOCTOR, PATIENT, VISIT), SCRIPTS)
